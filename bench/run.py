#!/usr/bin/env python3
"""Benchmarks: ingest next to nats-py awaiting each publish on the same server, the hook's cost, memory, idle CPU.

Every figure stands next to a reference that was measured in the same run, on the same machine, in turns. Run with
`python3 dev.py bench` (about two minutes); `--gateway` adds a real Gateway's turns, `--inbox` the inbox's size,
`--write` writes docs/benchmarks.md, `--against REF` compares ingest with another commit's instead.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import uvloop

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import against  # noqa: E402
from bench.door import HEADERS as DOOR_HEADERS  # noqa: E402
from bench.door import rows as door_rows  # noqa: E402
from bench.inbound import inbound as inbound_rows  # noqa: E402
from bench.inbox_size import EVENTS, inbox_size  # noqa: E402
from bench.ingest import SECONDS, Measured, http_case, reference_case  # noqa: E402
from bench.seal import HEADERS as SEAL_HEADERS  # noqa: E402
from bench.seal import rows as seal_rows  # noqa: E402
from tests.support.processes import NatsServer, Sidecar  # noqa: E402

from openclaw_nats.demo.provision import cache_dir, provision_node  # noqa: E402

ROUNDS = 3


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
    """Microseconds on the Gateway's event loop per hook call, next to an empty handler."""
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
    if "--against" in sys.argv:
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            print(table(against.HEADERS, against.rows(Path(name), sys.argv[sys.argv.index("--against") + 1])))
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        rows, facts = ingest(Path(name))
        hooks = hook_cost(Path(name))
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        door = door_rows(Path(name))
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
            "The front door: deliveries that GitHub's scheme signs, next to `POST /api/publish` of the same payloads, "
            "the same concurrency, in turns:",
            table(DOOR_HEADERS, door),
            "Who said it (one seal when an event is stored, one check when it is read):",
            table(SEAL_HEADERS, seal_rows()),
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
    if "--inbox" in sys.argv:
        text += f"\n\nWhat the inbox takes on disk for {EVENTS:,} delivered events of 400 bytes on one route, "
        text += "each a request:\n\n"
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            text += table(["inbox", "measured"], asyncio.run(inbox_size(Path(name), EVENTS, "1GiB")))
    print(text)
    if "--write" in sys.argv:
        head = (
            "# Benchmarks\n\nWritten by `python3 dev.py bench --write`. Reference: nats-py, awaiting each publish.\n\n"
        )
        page = ROOT / "docs" / "benchmarks.md"
        kept = "".join(page.read_text().partition("\n## ")[1:])  # bench/commands.py and obedience.py write these
        page.write_text(head + text + "\n" + kept)


if __name__ == "__main__":
    main()
