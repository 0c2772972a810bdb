"""A real Gateway, the sidecar and nats-server are killed with -9 while the agent works: every run is told once."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from openclaw_nats.demo.gateway_client import connected
from tests.gateway.test_events import VERSION
from tests.gateway.world import World

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(600)]

SEED = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**9))


def test_kill_9_while_a_real_gateway_works(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    print(f"seed {SEED} (CHAOS_SEED={SEED} repeats it)")
    world = World(tmp_path, VERSION)
    world.start()
    finished: list[str] = []
    try:
        for round_number in range(3):
            asyncio.run(_work(world, finished, round_number, dice))
            world.gateway.stop(signal.SIGKILL)
            world.gateway.start()
        world.sidecar.wait_up()
        events = world.settle(3)
        ended = Counter(event["runid"] for event in events if event["subject"] == "agent.events.agent.run_ended")
        tools = Counter(event["data"]["toolCallId"] for event in events if ".tool." in event["subject"])
        missing = [run for run in finished if run not in ended]
        assert not missing, f"seed {SEED}: runs without an end: {missing}"
        assert max(ended.values()) == 1, f"seed {SEED}: {ended}"
        assert max(tools.values()) == 1
        assert len(finished) >= 12
        assert max(Counter(event["id"] for event in events).values()) == 1
        assert _waiting(world) == 0
    finally:
        world.close()


async def _work(world: World, finished: list[str], round_number: int, dice: random.Random) -> None:
    """Some turns, during which sidecar and nats-server die; the last turn is still running when the Gateway dies."""
    async with connected(world.gateway) as client:
        for number in range(6):
            key = f"run-{round_number}-{number}"
            turn = asyncio.create_task(client.turn('!call exec {"command":"echo hi"}', key=key))
            if number in (1, 3):
                await asyncio.sleep(dice.uniform(0, 0.5))
                victim = world.sidecar if number == 1 else world.nats
                victim.kill()
                await asyncio.sleep(dice.uniform(0, 1))
                if number == 1:
                    world.sidecar.start(wait=False)
                else:
                    world.nats.start()
            await turn
            if number < 5:
                finished.append(key)
        # The last one was answered a moment ago: its end may or may not have been told before the kill.


def _waiting(world: World) -> int:
    """Events in the spool, as the plugin reports every 10 s."""
    deadline, waiting = time.monotonic() + 30, -1
    while waiting != 0 and time.monotonic() < deadline:
        waiting = int(world.sidecar.get("/api/health")[1]["plugin"].get("spool", {}).get("events", -1))
        time.sleep(0.5)
    return waiting
