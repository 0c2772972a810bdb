"""`key rotate` while a real Gateway works: its plugin takes the new key, and no event is lost or comes twice."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from openclaw_nats.demo.gateway_client import connected
from tests.gateway.world import World
from tests.support.processes import API_KEY, wait_until

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(300)]
TURNS = 12


def test_the_plugin_goes_on_with_the_new_key_and_loses_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, "2026.9.6")

    def ended() -> Counter[str]:
        key = (world.sidecar.home / "api-key").read_text().strip()
        status, _, body = world.sidecar.request("GET", "/api/events?subject=agent.events.agent.run_ended", key=key)
        assert status == 200, body
        return Counter(json.loads(line)["sessionkey"] for line in body.splitlines() if line.strip())

    async def rotate() -> None:
        for _ in range(3):
            done: Any = await asyncio.to_thread(world.sidecar.command, "key", "rotate", "--json")
            assert done.returncode == 0, done.stderr
            await asyncio.sleep(1.0)

    async def work() -> None:
        async with connected(world.gateway) as client:
            rotating = asyncio.create_task(rotate())
            for number in range(TURNS):
                await client.turn(f"!say {number}", f"agent:main:turn{number}")
            await rotating
            await client.turn("!say after", "agent:main:after")

    try:
        world.start()
        asyncio.run(work())
        wanted = Counter(["agent:main:after", *(f"agent:main:turn{number}" for number in range(TURNS))])
        wait_until(lambda: sum(ended().values()) >= len(wanted), 60, "the last event")
        assert ended() == wanted
        assert world.sidecar.get("/api/routes", key=API_KEY)[0] == 401
    finally:
        world.close()
