"""Load on a real sidecar over HTTP, and the reference: nats-py, awaiting each publish on the same server."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import statistics
import time
from typing import Any

import nats
import psutil
from tests.support.processes import API_KEY, NATS_PASSWORD, NatsServer, Sidecar

from openclaw_nats.events.ids import uuid7

SECONDS = 3.0
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
