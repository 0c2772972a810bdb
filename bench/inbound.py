"""Benchmarks of the way in: latency from a publish to the target's request, deliveries a second, cost of many routes.

The target is a server that answers at once. References of the same run: the same requests straight from aiohttp, and
for the routes the same events with 10 routes instead of 1,000.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import sys
import time
from pathlib import Path

import aiohttp
import nats
import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.inbound import ROOMY, Bus  # noqa: E402
from tests.support.processes import NATS_PASSWORD, wait_until  # noqa: E402

DELIVERIES = 6000
LATENCIES = 100
ROUTED = 10_000


class Target:
    """An HTTP server in this process that notes when each request came and answers at once."""

    ANSWER = b'{"ok":true,"runId":"r","completion":{"status":"ok"}}'

    def __init__(self) -> None:
        self.times: list[float] = []

    async def start(self) -> str:
        """Listen; the address."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(self.ANSWER)
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                sent = re.search(rb"content-length: (\d+)", request, re.IGNORECASE)
                if sent:  # not the health probe
                    await reader.readexactly(int(sent[1]))
                    self.times.append(time.perf_counter())
                writer.write(head + self.ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.close()


async def direct(url: str, count: int, workers: int) -> float:
    """Requests a second straight to the target, so many at once: the reference."""
    body = json.dumps({"message": "x" * 300}).encode()
    left = iter(range(count))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def work() -> None:
            for _ in left:
                async with session.post(url + "/hooks/agent", data=body) as answer:
                    await answer.read()

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(workers)))
        return count / (time.perf_counter() - began)


async def latency(bus: Bus, target: Target) -> list[float]:
    """Milliseconds from the publish to the target's request, one event at a time."""
    client = await nats.connect(bus.nats.url, user="openclaw-nats", password=NATS_PASSWORD)
    found = []
    for number in range(LATENCIES):
        await asyncio.sleep(0.02)
        before = len(target.times)
        began = time.perf_counter()
        await client.publish("agent.events.custom.latency.x", json.dumps({"n": number}).encode())
        while len(target.times) == before:  # noqa: ASYNC110  (an event would be no more exact)
            await asyncio.sleep(0.0002)
        found.append((target.times[-1] - began) * 1000)
    await client.close()
    return found


async def publish_many(bus: Bus, subject: str, count: int, text: str = "") -> None:
    """Publish so many events as fast as JetStream takes them, with that text besides."""
    client = await nats.connect(bus.nats.url, user="openclaw-nats", password=NATS_PASSWORD)
    stream = client.jetstream()
    body = json.dumps({"door": "front", "state": "open", "battery": 81, **({"text": text} if text else {})}).encode()
    for start in range(0, count, 500):
        futures = [await stream.publish_async(subject, body) for _ in range(start, min(start + 500, count))]
        await asyncio.gather(*futures)
    await client.close()


async def throughput(bus: Bus, target: Target) -> tuple[float, float]:
    """(deliveries a second, CPU microseconds of the sidecar a delivery): one route, 64 at a time, one event each."""
    assert bus.sidecar.process is not None
    process = psutil.Process(bus.sidecar.process.pid)
    before, cpu = len(target.times), _cpu(process)
    await publish_many(bus, "agent.events.custom.many.x", DELIVERIES)
    began_at = target.times[before] if len(target.times) > before else time.perf_counter()
    while len(target.times) < before + DELIVERIES:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    seconds = target.times[before + DELIVERIES - 1] - began_at
    return DELIVERIES / seconds, (_cpu(process) - cpu) / DELIVERIES * 1e6


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def with_routes(folder: Path, routes: int) -> Bus:
    """A bus with so many routes, of which one wants the events; its condition says no to them."""
    bus = Bus(folder, ROOMY)
    bus.start()
    for number in range(routes):
        bus.route(f"r{number}", f"agent.events.custom.house{number}.>", "main", when="data.door == 'nowhere'")
    return bus


def route_cost(bus: Bus) -> float:
    """CPU microseconds of the sidecar an event that is taken in and judged."""
    assert bus.sidecar.process is not None
    process = psutil.Process(bus.sidecar.process.pid)
    taken = "openclaw_nats_inbox_events_total"
    before, cpu = bus.sidecar.metric(taken), _cpu(process)
    asyncio.run(publish_many(bus, "agent.events.custom.house7.x", ROUTED))
    wait_until(lambda: bus.sidecar.metric(taken) >= before + ROUTED, 60, "the events to be taken in")
    return (_cpu(process) - cpu) / ROUTED * 1e6


async def _with_target(folder: Path) -> list[list[str]]:
    target = Target()
    url = await target.start()
    bus = Bus(folder, ROOMY)
    config = bus.sidecar.home / "config.toml"
    config.write_text(config.read_text().replace(bus.stub.url, url))
    rows = []
    await asyncio.to_thread(bus.nats.start)
    await asyncio.to_thread(bus.sidecar.start)
    try:
        bus.route("latency", "agent.events.custom.latency.>", "main")
        bus.route(
            "many", "agent.events.custom.many.>", "agent:main:many", flow={"concurrency": 64, "batch": {"size": 1}}
        )
        await asyncio.sleep(1)
        times = await latency(bus, target)
        p50, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
        rows.append(["publish → target's request, idle, p50 / p99", f"{p50:.1f} / {p99:.1f} ms", ""])
        results = []
        for _ in range(3):
            reference = await direct(url, 3000, 64)
            rate, cpu = await throughput(bus, target)
            results.append((rate, cpu, reference))
        rate, cpu, reference = (statistics.median(column) for column in zip(*results, strict=True))
        rows.append(["the same requests straight from aiohttp, 64 at once", f"{reference:.0f}/s", "1.00x"])
        rows.append(
            [
                "deliveries, one route, concurrency 64, one event each",
                f"{rate:.0f}/s, {cpu:.0f} µs CPU",
                f"{rate / reference:.2f}x",
            ]
        )
    finally:
        bus.sidecar.close()
        bus.nats.close()
    return rows


def _routes(folder: Path) -> list[list[str]]:
    small, large = with_routes(folder / "few", 10), with_routes(folder / "many", 1000)
    try:
        pairs = [(route_cost(small), route_cost(large)) for _ in range(5)]
        low, high = (statistics.median(column) for column in zip(*pairs, strict=True))
        return [
            ["an event taken in, 10 routes", f"{low:.0f} µs CPU", "1.00x"],
            ["an event taken in, 1,000 routes", f"{high:.0f} µs CPU", f"{high / low:.2f}x"],
        ]
    finally:
        small.close()
        large.close()


def inbound(folder: Path) -> list[list[str]]:
    """The table's rows: what, measured, ratio to the reference above it."""
    return asyncio.run(_with_target(folder / "target")) + _routes(folder / "routes")


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        for row in inbound(Path(name)):
            print(row)
