"""What the inbox takes on disk for many delivered events, compared with what the stream takes for the same ones.

`python bench/inbox_size.py [EVENTS] [MAX_BYTES]`: 126,000 events on one route, each a request of its own.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.inbound import Target, publish_many  # noqa: E402
from tests.support.inbound import ROOMY, Bus  # noqa: E402

EVENTS = 126_000
_PART = 2_000
_TEXT = "x" * 400


async def inbox_size(folder: Path, events: int, max_bytes: str) -> list[list[str]]:
    """The table's rows: what, measured."""
    target = Target()
    url = await target.start()
    bus = Bus(folder, ROOMY + f'[inbox]\nmax_bytes = "{max_bytes}"\n')
    config = bus.sidecar.home / "config.toml"
    config.write_text(config.read_text().replace(bus.stub.url, url))
    await asyncio.to_thread(bus.nats.start)
    await asyncio.to_thread(bus.sidecar.start)
    try:
        flow = {"concurrency": 64, "batch": {"size": 1}}
        await asyncio.to_thread(
            bus.route, "many", "agent.events.custom.many.>", {"kind": "webhook", "url": url}, flow=flow
        )
        assert bus.sidecar.process is not None
        process = psutil.Process(bus.sidecar.process.pid)
        began, memory, largest = time.perf_counter(), 0, 0
        for done in range(0, events, _PART):
            await publish_many(bus, "agent.events.custom.many.x", _PART, _TEXT)
            while len(target.times) < done + _PART:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            memory = max(memory, process.memory_info().rss)
            largest = max(largest, _size(bus.sidecar.home))
        seconds = time.perf_counter() - began
        await asyncio.sleep(8)  # housekeeping
        stream = (await asyncio.to_thread(bus.sidecar.get, "/api/health"))[1]["nats"]["stream"]["bytes"]
        size = _size(bus.sidecar.home)
        with closing(sqlite3.connect(bus.sidecar.home / "sidecar.db")) as db:
            receipts = db.execute("SELECT count(*) FROM dispatches").fetchone()[0]
        return [
            ["events delivered", f"{len(target.times)} in {seconds:.0f} s"],
            ["the stream", f"{stream / 1e6:.1f} MB"],
            ["sidecar.db and its log", f"{size / 1e6:.1f} MB ({size / stream:.2f}x), at most {largest / 1e6:.1f} MB"],
            ["receipts in it", f"{receipts}"],
            ["memory of the sidecar, at most", f"{memory / 1e6:.0f} MB"],
        ]
    finally:
        bus.sidecar.close()
        bus.nats.close()


def _size(home: Path) -> int:
    return sum(one.stat().st_size for one in (home / "sidecar.db", home / "sidecar.db-wal") if one.exists())


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        count = int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS
        limit = sys.argv[2] if len(sys.argv) > 2 else "1GiB"
        for row in asyncio.run(inbox_size(Path(name), count, limit)):
            print(*row, sep=": ")
