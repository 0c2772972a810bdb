"""Deliveries through the plugin while sidecar or Gateway die in the middle of a turn."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from openclaw_nats.demo.gateway_client import connected
from openclaw_nats.port_holder import free_port
from tests.gateway.test_deliveries import CONFIG, Gateway
from tests.support.inbound import ROOMY
from tests.support.processes import wait_until

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(300)]

SLOW = "{{ data.word }}\n!wait 4000\n!say done"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    one = Gateway(tmp_path_factory.mktemp("restarts"), "2026.9.6", json.loads(json.dumps(CONFIG)), ROOMY)
    try:
        one.start()
        wait_until(lambda: one.health()["plugin"]["connected"], 30, "the plugin's channel")
        one.route("slow", "agent.events.custom.slow.>", "agent:main:slow", template=SLOW)
        one.route("quick", "agent.events.custom.quick.>", "agent:main:quick")
        yield one
    finally:
        one.close()


def asked(world: Gateway, word: str) -> int:
    """How often the model was asked about it."""
    return sum(word in prompt for prompt in world.prompts())


def begin_slow_turn(world: Gateway, word: str) -> None:
    assert world.sidecar.publish("agent.events.custom.slow.x", {"word": word})[0] == 200
    wait_until(lambda: asked(world, word) == 1, 90, "the turn to begin")


def receipts(world: Gateway, route: str) -> int:
    return sum(one["route"] == route for one in world.call("GET", "/api/receipts?limit=1000")[1]["receipts"])


def test_a_sidecar_killed_in_the_middle_of_a_turn_gets_its_receipt_and_makes_no_second_turn(world: Gateway) -> None:
    before = receipts(world, "slow")
    begin_slow_turn(world, "sidecar-dies")
    world.sidecar.kill()
    time.sleep(0.5)
    world.sidecar.start()
    wait_until(lambda: receipts(world, "slow") == before + 1, 60, "the receipt")
    time.sleep(2)
    assert asked(world, "sidecar-dies") == 1


def test_a_sidecar_that_is_away_when_the_turn_ends_asks_again_with_the_same_key(world: Gateway) -> None:
    before = receipts(world, "slow")
    begin_slow_turn(world, "ends-meanwhile")
    world.sidecar.kill()
    time.sleep(12)  # the turn has ended, and the plugin has given up telling
    world.sidecar.start()
    wait_until(lambda: receipts(world, "slow") == before + 1, 60, "the receipt")
    time.sleep(2)
    assert asked(world, "ends-meanwhile") == 1


def test_a_gateway_killed_in_the_middle_of_a_turn_loses_nothing_and_repeats_no_receipt(world: Gateway) -> None:
    assert world.sidecar.publish("agent.events.custom.quick.x", {"word": "has-a-receipt"})[0] == 200
    wait_until(lambda: receipts(world, "quick") == 1, 60, "the first receipt")
    before = receipts(world, "slow")
    begin_slow_turn(world, "gateway-dies")
    assert world.sidecar.publish("agent.events.custom.slow.x", {"word": "comes-after"})[0] == 200
    world.gateway.stop(signal.SIGKILL)
    time.sleep(1)
    world.gateway.start()
    wait_until(lambda: receipts(world, "slow") == before + 2, 120, "both receipts")
    assert asked(world, "has-a-receipt") == 1
    assert asked(world, "gateway-dies") >= 1  # the Gateway may take a killed turn up itself, and then it comes twice
    assert asked(world, "comes-after") == 1
    assert world.health()["counts"]["dead"] == 0


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_a_turn_that_waits_behind_another_of_its_session_outlives_the_gateway(world: Gateway, ending: int) -> None:
    word, before = f"waits-{int(ending)}", receipts(world, "slow")
    with ThreadPoolExecutor(1) as own:
        busy = own.submit(_turn_of_the_operator, world, f"own-turn-{int(ending)}\n!wait 20000\n!say done")
        wait_until(lambda: asked(world, f"own-turn-{int(ending)}") >= 1, 90, "the operator's own turn")
        assert world.sidecar.publish("agent.events.custom.slow.x", {"word": word})[0] == 200
        wait_until(lambda: _accepted(world, word), 30, "the Gateway to accept the wake-up")
        world.gateway.stop(ending)
        busy.exception(60)
    assert asked(world, word) == 0
    world.gateway.start()
    wait_until(lambda: receipts(world, "slow") == before + 1, 120, "the receipt")
    assert asked(world, word) == 1
    assert world.health()["counts"]["dead"] == 0


def _turn_of_the_operator(world: Gateway, text: str) -> None:
    async def one() -> None:
        async with connected(world.gateway) as client:
            await client.turn(text, "agent:main:slow")

    asyncio.run(one())


def _accepted(world: Gateway, word: str) -> bool:
    """Whether a text stands in what the Gateway keeps of accepted input (2026.9)."""
    stores = list(world.gateway.state.rglob("*.sqlite*"))
    return any(word.encode() in store.read_bytes() for store in stores)


def test_a_gateway_that_a_sidecar_in_a_container_cannot_dial_is_up_while_its_plugin_is(world: Gateway) -> None:
    world.sidecar.kill()
    dead = f"http://127.0.0.1:{free_port()}"
    world.sidecar.environment |= {
        "OPENCLAW_NATS_GATEWAY_URL": dead,
        "OPENCLAW_NATS_GATEWAY_PUBLIC_URL": world.gateway.url,
    }
    world.sidecar.start()

    def shown() -> dict[str, Any]:
        return dict(world.sidecar.get("/api/health")[1]["gateway"])

    assert shown()["url"] == world.gateway.url
    wait_until(lambda: shown()["reachable"], 60, "the plugin to say that the Gateway is up")
    assert shown()["lastError"] == ""
    assert world.call("POST", "/api/sign-in-links")[1]["links"][0].startswith(f"{world.gateway.url}/nats-dashboard/")
    world.gateway.stop(signal.SIGKILL)
    wait_until(lambda: not shown()["reachable"], 60, "the Gateway to be shown down")
    assert dead in shown()["lastError"]
