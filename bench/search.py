"""Searching a large stream: how long the first page takes, what the index costs in time, disk, memory and CPU.

`python bench/search.py [EVENTS]`: 1,000,000 events of the Gateway's kinds on one stream; every search runs 5 times.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.processes import NatsServer, Sidecar  # noqa: E402

EVENTS = 1_000_000
_PART = 2000
_TIMES = 5
_WORDS = 20_000


def _events(count: int) -> Iterator[dict[str, Any]]:
    """Events as a Gateway makes them, each with two dozen words of 20,000; the first one alone has two words more."""
    dice = random.Random(15)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    words = ["".join(dice.choices(letters, k=dice.randint(3, 10))) for _ in range(_WORDS)]
    kinds = (
        ("tool.exec.completed", True),
        ("tool.read.completed", True),
        ("llm.output", True),
        ("tool.exec.failed", False),
    )
    for number in range(count):
        kind, success = kinds[number % len(kinds)]
        agent = f"agent{number % 20}"
        text = " ".join(dice.choices(words, k=24))
        if number == 0:
            text += " zebrafish quagga 今日は"
        yield {
            "specversion": "1.0",
            "id": f"{number:x}-{dice.getrandbits(48):012x}",
            "source": "openclaw://bench",
            "type": f"openclaw.{kind}",
            "subject": f"agent.events.{kind}",
            "time": "2026-11-22T10:00:00.000Z",
            "agentid": agent,
            "sessionkey": f"agent:{agent}:main",
            "runid": f"run-{number // 12}",
            "data": {"tool": kind.split(".")[1], "success": success, "durationMs": number % 900, "text": text},
        }


def rows(folder: Path, count: int = EVENTS) -> list[list[str]]:
    """The table's rows: what, measured."""
    nats = NatsServer(folder / "nats")
    nats.start()
    bus = Sidecar(folder / "state", nats)
    bus.start()
    try:
        assert bus.process is not None
        process = psutil.Process(bus.process.pid)
        memory, part = 0, []
        began = time.perf_counter()
        for one in _events(count):
            part.append(one)
            if len(part) == _PART:
                bus.post_events(part)
                part = []
                memory = max(memory, process.memory_info().rss)
        stored = time.perf_counter() - began
        while (index := _search(bus, {"limit": "1"})[1]["index"])["behind"] or index["events"] < count:
            memory = max(memory, process.memory_info().rss)
            time.sleep(1)
        indexed = time.perf_counter() - began
        found = [
            ["events stored", f"{count:,} in {stored:.0f} s"],
            ["all of them in the index after", f"{indexed:.0f} s"],
            ["the index on disk", f"{index['bytes'] / 1e6:.0f} MB ({index['bytes'] / count:.0f} bytes an event)"],
        ]
        for what, query in _SEARCHES.items():
            times, answer = [], {}
            for _ in range(_TIMES):
                seconds, answer = _search(bus, query)
                times.append(seconds)
                memory = max(memory, process.memory_info().rss)
            more = "" if answer["cursor"] is None or answer["events"] else f", back to event {answer['cursor']}"
            shown = f"{statistics.median(times) * 1000:.0f} ms, at most {max(times) * 1000:.0f} ms"
            found.append([what, f"{shown} ({len(answer['events'])} events{more})"])
        for what, query in (("histogram of everything", {}), ("histogram of a text", {"text": "exec"})):
            times = [_timed(bus, f"/api/events/histogram?{urlencode(query)}")[0] for _ in range(_TIMES)]
            found.append([what, f"{statistics.median(times) * 1000:.0f} ms, at most {max(times) * 1000:.0f} ms"])
        time.sleep(5)
        before, since = process.cpu_times(), time.monotonic()
        time.sleep(20)
        after = process.cpu_times()
        idle = (after.user + after.system - before.user - before.system) / (time.monotonic() - since) * 100
        return [
            *found,
            ["memory of the sidecar, at most", f"{memory / 1e6:.0f} MB"],
            ["CPU of the sidecar when idle", f"{idle:.2f} %"],
        ]
    finally:
        bus.close()
        nats.close()


_SEARCHES = {
    "a word that only the oldest event has": {"text": "zebrafish"},
    "two such words": {"text": "zebrafish quagga"},
    "two characters of Chinese, in the oldest event": {"text": "今日"},
    "a word that a quarter of all has": {"text": "llm"},
    "a word that none has": {"text": "zygodactyl"},
    "two letters, which the index can't look up": {"text": "qx"},
    "an agent's failures": {"agent": "agent3", "failed": "true"},
    "a session and a text": {"session": "agent:agent7:main", "text": "failed"},
    "one run of long ago": {"run": "run-3"},
}


def _search(bus: Sidecar, query: dict[str, str]) -> tuple[float, Any]:
    return _timed(bus, f"/api/events/search?{urlencode(query)}")


def _timed(bus: Sidecar, path: str) -> tuple[float, Any]:
    began = time.perf_counter()
    status, _, body = bus.request("GET", path)
    seconds = time.perf_counter() - began
    if status != 200:
        raise RuntimeError(f"{path}: {status} {body[:200]!r}")
    return seconds, json.loads(body)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        for row in rows(Path(name), int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS):
            print(*row, sep=": ")
