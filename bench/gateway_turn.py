#!/usr/bin/env python3
"""Is a Gateway's turn slower with the plugin? Two real Gateways, with and without, take turns, in three conditions.

Run with `python3 dev.py bench --gateway` (about four minutes with OpenClaw downloaded); `--write` adds it to the docs.
"""

from __future__ import annotations

import asyncio
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.gateway.test_events import VERSION  # noqa: E402
from tests.gateway.world import PROBE, World, prefix  # noqa: E402

from openclaw_nats.demo.gateway import Gateway  # noqa: E402
from openclaw_nats.demo.gateway_client import connected  # noqa: E402

TURNS = 40
# The tests' tool plugin is in both, so that the two differ in ours alone.
WITH_PROBE = {"plugins": {"load": {"paths": [str(PROBE)]}, "entries": {"bus-probe": {"enabled": True}}}}
TURN = '!call exec {"command":"true"}\n!say done'


async def compare(with_plugin: Gateway, without: Gateway) -> tuple[list[float], list[float]]:
    """Milliseconds of TURNS turns on each, alternately, each in a session of its own that has been warmed up."""
    times: dict[int, list[float]] = {0: [], 1: []}
    async with connected(with_plugin) as first, connected(without) as second:
        session = f"agent:main:bench{time.time_ns()}"
        for client in (first, second):
            for _ in range(3):
                await client.turn(TURN, session)
        for _ in range(TURNS):
            for number, client in enumerate((first, second)):
                began = time.perf_counter()
                await client.turn(TURN, session)
                times[number].append((time.perf_counter() - began) * 1000)
    return times[0], times[1]


def rows() -> list[list[str]]:
    """A row a condition: medians, their ratio, and how far turns without the plugin differ among themselves."""
    found = []
    with tempfile.TemporaryDirectory(prefix="bench-gateway-") as name:
        world = World(Path(name) / "with", VERSION)
        plain = Gateway(prefix(VERSION), Path(name) / "without", config=WITH_PROBE)
        try:
            world.start()
            plain.start()
            for condition in ("sidecar up", "sidecar hangs", "sidecar down"):
                if condition == "sidecar hangs":
                    world.sidecar.signal(signal.SIGSTOP)
                elif condition == "sidecar down":
                    world.sidecar.kill()
                measured, reference = asyncio.run(compare(world.gateway, plain))
                ours, theirs = statistics.median(measured), statistics.median(reference)
                quarters = statistics.quantiles(reference, n=4)
                spread = f"{quarters[0]:.0f} to {quarters[2]:.0f}"
                found.append([condition, f"{ours:.0f}", f"{theirs:.0f}", f"{ours / theirs:.2f}x", spread])
        finally:
            world.close()
            plain.close()
    return found


HEADERS = ["condition", "with plugin, median ms", "without", "ratio", "without: middle half of the turns"]
