#!/usr/bin/env python3
"""Benchmarks: ingest beside nats-py awaiting each publish on the same server, the hook's cost, memory, idle CPU.

Every figure stands beside a reference that was measured in the same run, on the same machine, in turns. Run with
`python3 dev.py bench` (about two minutes); `--gateway` adds a real Gateway's turns,
`--write` writes docs/benchmarks.md.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nats
import psutil
import uvloop

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.inbound import inbound as inbound_rows  # noqa: E402
from tests.support.processes import API_KEY, NATS_PASSWORD, NatsServer, Sidecar  # noqa: E402

from openclaw_nats.demo.provision import cache_dir, provision_node  # noqa: E402
from openclaw_nats.events.ids import uuid7  # noqa: E402

SECONDS = 3.0
ROUNDS = 3
SUBJECT = "agent.events.custom.bench"


_TEMPLATE = json.dumps(
    {
        "specversion": "1.0",
        "id": "%s",
        "source": "openclaw://bench",
        "type": "openclaw.tool.completed",
        "subject": SUBJECT,
        "time": "2026-11-22T10:00:00.000Z",
        "gatewayid": "bench",
        "agentid": "main",
        "sessionkey": "agent:main:main",
        "runid": "run-1",
        "data": {"tool": "exec", "toolCallId": "call_1795378465832373832", "durationMs": 344, "success": True},
    },
    separators=(",", ":"),
)
_PUBLISH = json.dumps({"subject": SUBJECT, "payload": json.loads(_TEMPLATE)["data"]}).encode()
_RUN = uuid7(time.time_ns() // 1_000_000)
_numbers = itertools.count()


def new_id() -> str:
    """An id that is new; as cheap as can be, since the load and the server share the machine's cores."""
    return f"{_RUN}-{next(_numbers)}"


def document() -> tuple[str, bytes]:
    """Id and JSON of a CloudEvent of about 350 bytes, as the plugin sends."""
    number = new_id()
    return number, (_TEMPLATE % number).encode()


class Client:
    """A keep-alive HTTP client that does as little as possible."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def open(self) -> None:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)

    async def post(self, path: str, kind: str, body: bytes) -> bytes:
        """One request; the answer's body."""
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\nContent-Type: {kind}\r\n"
        self._writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200"), answer
        length = int(re.search(rb"content-length: (\d+)", answer, re.IGNORECASE)[1])  # type: ignore[index]
        return await self._reader.readexactly(length)

    def close(self) -> None:
        """Disconnect."""
        self._writer.close()


class Measured:
    """Events, seconds, latencies in ms, and CPU seconds of the processes that served them."""

    def __init__(self, events: int, seconds: float, latencies: list[float], cpu: float) -> None:
        self.rate = events / seconds
        self.p50 = statistics.median(latencies)
        self.p99 = statistics.quantiles(latencies, n=100)[98] if len(latencies) > 100 else max(latencies)
        self.cpu = cpu / events * 1e6


async def measure(workers: int, once: Any, per_call: int, served_by: psutil.Process | None) -> Measured:
    """Run `once(worker)` in so many workers for SECONDS."""
    latencies: list[float] = []
    deadline = time.perf_counter() + SECONDS

    def cpu() -> float:
        times = served_by.cpu_times() if served_by else psutil.Process().cpu_times()
        return times.user + times.system

    async def work(worker: int) -> None:
        while time.perf_counter() < deadline:
            began = time.perf_counter()
            await once(worker)
            latencies.append((time.perf_counter() - began) * 1000)

    cpu_before, began = cpu(), time.perf_counter()
    await asyncio.gather(*(work(worker) for worker in range(workers)))
    return Measured(len(latencies) * per_call, time.perf_counter() - began, latencies, cpu() - cpu_before)


async def http_case(sidecar: Sidecar, workers: int, batch: int) -> Measured:
    """Events through the sidecar's HTTP API: singles (batch 0) or NDJSON."""
    assert sidecar.process is not None
    clients = [Client(sidecar.port) for _ in range(workers)]
    for client in clients:
        await client.open()

    async def single(worker: int) -> None:
        await clients[worker].post("/api/publish", "application/json", _PUBLISH)

    async def many(worker: int) -> None:
        body = b"\n".join(document()[1] for _ in range(batch))
        answer = await clients[worker].post("/api/events", "application/x-ndjson", body)
        assert json.loads(answer)["accepted"] == batch

    try:
        return await measure(workers, many if batch else single, batch or 1, psutil.Process(sidecar.process.pid))
    finally:
        for client in clients:
            client.close()


async def reference_case(server: NatsServer, workers: int) -> Measured:
    """The reference: nats-py, JetStream publish, each awaited, on the same server."""
    client = await nats.connect(server.url, user="openclaw-nats", password=NATS_PASSWORD)
    stream = client.jetstream()

    async def once(worker: int) -> None:
        number, body = document()
        await stream.publish(SUBJECT, body, headers={"Nats-Msg-Id": number})

    try:
        return await measure(workers, once, 1, None)
    finally:
        await client.close()


def fsync_cost(folder: Path) -> float:
    """Median milliseconds of writing 4 KiB and fsync on the disk that nats-server uses."""
    times = []
    with (folder / "fsync").open("wb") as file:
        for _ in range(100):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def ingest(folder: Path) -> tuple[list[list[str]], dict[str, str]]:
    """The ingest table, and memory and idle CPU of the sidecar."""
    server = NatsServer(folder / "nats")
    server.start()
    sidecar = Sidecar(folder / "state", server)
    sidecar.start()
    assert sidecar.process is not None
    process = psutil.Process(sidecar.process.pid)
    idle_before, began = process.cpu_times(), time.monotonic()
    time.sleep(10)
    idle = process.cpu_times()
    used = idle.user + idle.system - idle_before.user - idle_before.system
    idle_percent = used / (time.monotonic() - began) * 100
    cases: list[tuple[str, Any]] = [
        ("nats-py, await each, 1 publisher", lambda: reference_case(server, 1)),
        *(
            (f"one event a POST, {n} connection{'s' * (n > 1)}", lambda n=n: http_case(sidecar, n, 0))
            for n in (1, 8, 64)
        ),
        ("NDJSON of 100, 1 connection", lambda: http_case(sidecar, 1, 100)),
        ("NDJSON of 1000, 1 connection", lambda: http_case(sidecar, 1, 1000)),
        ("NDJSON of 1000, 4 connections", lambda: http_case(sidecar, 4, 1000)),
    ]
    results: dict[str, list[Measured]] = {name: [] for name, _ in cases}
    for _ in range(ROUNDS):
        for name, case in cases:
            results[name].append(uvloop.run(case()))
    base = statistics.median(one.rate for one in results[cases[0][0]])
    rows = []
    for name, found in results.items():
        middle = {key: statistics.median(getattr(one, key) for one in found) for key in ("rate", "p50", "p99", "cpu")}
        rows.append(
            [
                name,
                f"{middle['rate']:,.0f}",
                f"{middle['rate'] / base:.1f}x",
                f"{middle['p50']:.1f}",
                f"{middle['p99']:.1f}",
                f"{middle['cpu']:.0f}",
            ]
        )
    facts = {
        "Sidecar memory after the run": f"{process.memory_info().rss / 1e6:.0f} MB",
        "Sidecar CPU when idle": f"{idle_percent:.2f} %",
        "fsync of 4 KiB on this disk": f"{fsync_cost(folder):.2f} ms",
    }
    sidecar.close()
    server.close()
    return rows, facts


def hook_cost(folder: Path) -> list[list[str]]:
    """Microseconds on the Gateway's event loop per hook call, beside an empty handler."""
    node = provision_node(cache_dir(), lambda what, seconds: None) / "bin" / "node"
    done = subprocess.run(
        [str(node), str(ROOT / "bench" / "hook_cost.mjs"), str(folder / "hook")],
        capture_output=True,
        text=True,
        check=True,
    )
    return [[name, *(f"{value:.1f}" for value in values)] for name, values in json.loads(done.stdout).items()]


def table(headers: list[str], rows: list[list[str]]) -> str:
    """A Markdown table that reads well in a terminal too."""
    widths = [max(len(row[at]) for row in [headers, *rows]) for at in range(len(headers))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in [headers, *rows]
    ]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run everything, print the tables, and write docs/benchmarks.md when asked to."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        rows, facts = ingest(Path(name))
        hooks = hook_cost(Path(name))
    memory = psutil.virtual_memory().total / 2**30
    machine = f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}"
    versions = f"Python {platform.python_version()}"
    text = "\n\n".join(
        [
            f"Measured on {time.strftime('%Y-%m-%d')}: {machine}, {versions}, nats-server with `sync_interval: always` "
            f"(every acknowledged event is on disk). Median of {ROUNDS} rounds of {SECONDS:g} s, cases in turns.",
            table(["ingest", "events/s", "of reference", "p50 ms", "p99 ms", "CPU µs/event"], rows),
            "CPU is the sidecar's own process; for the reference it is the publisher's. Latency is of one request.",
            table(["fact", "value"], [[key, value] for key, value in facts.items()]),
            "What a hook costs the Gateway's event loop (microseconds a call, 20,000 calls each, real spool on disk):",
            table(["handler", "median", "p99"], hooks),
        ]
    )
    if "--gateway" in sys.argv:
        from gateway_turn import HEADERS, TURNS
        from gateway_turn import rows as turn_rows

        text += f"\n\nA Gateway's turn (model, tool, model; {TURNS} turns each, alternately):\n\n"
        text += table(HEADERS, turn_rows())
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        text += "\n\nThe way in (medians; the target answers at once; "
        text += f"fsync of 4 KiB on this disk: {fsync_cost(Path(name)):.2f} ms):\n\n"
        text += table(["events in", "measured", "of reference"], inbound_rows(Path(name)))
    print(text)
    if "--write" in sys.argv:
        head = (
            "# Benchmarks\n\nWritten by `python3 dev.py bench --write`. Reference: nats-py, awaiting each publish.\n\n"
        )
        (ROOT / "docs" / "benchmarks.md").write_text(head + text + "\n")


if __name__ == "__main__":
    main()
