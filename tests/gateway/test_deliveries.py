"""Events in, on a real Gateway: wake, agent and session land where they should, over both ways in; bursts; the loop."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from openclaw_nats.demo.gateway_client import connected
from openclaw_nats.events.trace import run_span
from tests.gateway.world import Waker
from tests.support import jetstream
from tests.support.inbound import ROOMY
from tests.support.otlp import Collector
from tests.support.processes import wait_until
from tests.support.releases import newest_first

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(400)]

CONFIG: dict[str, Any] = {
    "hooks": {"allowRequestSessionKey": True, "allowedSessionKeyPrefixes": ["agent:", "hook:"]},
    "agents": {"list": [{"id": "main"}, {"id": "ops"}], "defaults": {"heartbeat": {"every": "24h"}}},
}


class Gateway(Waker):
    """A world with routes, and a place for its spans."""

    collector: Collector

    def transcript(self, session: str) -> str:
        """What stands in a session's transcript, as the Gateway tells it."""

        async def read() -> Any:
            async with connected(self.gateway) as client:
                return await client.request("chat.history", {"sessionKey": session, "limit": 200})

        return json.dumps(asyncio.run(read()))


@pytest.fixture(
    scope="module", params=newest_first(("2026.9.6", "plugin"), ("2026.9.6", "hooks"), ("2026.3.1", "hooks")), ids=str
)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    version, way = request.param
    choice = f'[delivery]\nway = "{way}"\n' if (version, way) == ("2026.9.6", "hooks") else ""
    collector = Collector()
    settings = ROOMY + choice + f'[otel]\nendpoint = "{collector.url}"\n'
    one = Gateway(tmp_path_factory.mktemp("deliveries"), version, json.loads(json.dumps(CONFIG)), settings)
    one.collector = collector
    try:
        with one.working():
            assert one.health()["way"] == way  # without a setting it follows from what the Gateway can do
            yield one
    finally:
        collector.close()


def test_each_target_lands_where_it_should(world: Gateway) -> None:
    old = world.gateway.old
    world.route("named", "agent.events.custom.named.>", {"kind": "session", "sessionKey": "agent:ops:alarms"})
    world.route("isolated", "agent.events.custom.isolated.>", {"kind": "agent", "agentId": "ops"})
    world.route("main", "agent.events.custom.main.>", "main")
    world.route("wake", "agent.events.custom.wake.>", {"kind": "wake"})
    for name in ("named", "isolated", "main"):
        assert world.sidecar.publish(f"agent.events.custom.{name}.x", {"word": f"landed-{name}"})[0] == 200
        world.settled({"named": 1, "isolated": 2, "main": 3}[name], 90)
    # 2026.3.1 answers before the turn, and of two turns at once the later one's transcript replaces the other's.
    main = wait_until(lambda: "landed-main" in (found := world.transcript("agent:main:main")) and found, 90, "the turn")
    assert world.sidecar.publish("agent.events.custom.wake.x", {"word": "landed-wake"})[0] == 200
    assert world.settled(4, 90)["delivered"] == 4
    receipts = {one["route"]: one for one in world.call("GET", "/api/receipts")[1]["receipts"]}
    assert {one["outcome"] for one in receipts.values()} == {"accepted" if old else "ok"}
    prompts = wait_until(
        lambda: (
            (found := world.prompts())
            and all(f"landed-{name}" in str(found) for name in ("named", "main", "isolated"))
            and found
        ),
        180,
        "the prompts",
    )
    for name in ("named", "isolated", "main"):
        prompt = next(one for one in prompts if f"landed-{name}" in one)
        assert "UNTRUSTED" in prompt or "outside data" in prompt
    wait_until(
        lambda: any("landed-wake" in one for one in [*world.prompts(), *world.prompts("new")]),
        90,
        "the wake-up's prompt",
    )
    assert "landed-named" in wait_until(lambda: world.transcript("agent:ops:alarms"), what="the transcript")
    assert "landed-named" not in main
    assert "landed-isolated" not in main


def test_events_of_a_delivered_run_carry_its_delivery_and_hops(world: Gateway) -> None:
    world.route("hops", "agent.events.custom.hops.>", "agent:ops:hops")
    assert world.sidecar.publish("agent.events.custom.hops.x", {"word": "hops"})[0] == 200
    ended = wait_until(
        lambda: [
            one
            for one in world.events()
            if one["subject"] == "agent.events.agent.run_ended" and one.get("sessionkey") == "agent:ops:hops"
        ],
        60,
        "the end of the run",
    )
    assert ended[0]["hops"] == 1
    receipt = next(one for one in world.call("GET", "/api/receipts")[1]["receipts"] if one["route"] == "hops")
    assert ended[0]["causationid"] == receipt["id"]


def test_a_publishers_trace_goes_into_the_turn_and_back(world: Gateway) -> None:
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    call = "Do this:\n!call nats_publish {{ data.call }}"
    world.route("traced", "agent.events.custom.traced", "agent:ops:traced", template=call, tools=["nats_*"])
    body = json.dumps({"call": json.dumps({"subject": "agent.events.custom.answer"})}).encode()
    jetstream.publish(world.nats, "agent.events.custom.traced", body, {"traceparent": f"00-{trace}-{span}-01"})

    def ended() -> dict[str, Any] | None:
        found = [one for one in world.events() if one.get("sessionkey") == "agent:ops:traced"]
        by_name = {one["subject"].removeprefix("agent.events."): one for one in found}
        return by_name if {"custom.answer", "agent.run_ended"} <= by_name.keys() else None

    events = wait_until(ended, 90, "the end of the run")
    world.call("DELETE", "/api/routes/traced")
    run = events["agent.run_ended"]
    if world.gateway.old:  # 2026.3 tells nobody which run it is: the trace goes on, with no span of the turn's own
        told = {events[name]["traceparent"] for name in ("agent.run_ended", "custom.answer")}
        assert told == {f"00-{trace}-{span}-01"}
        return
    inside = f"00-{trace}-{run_span(run['runid']):016x}-01"
    assert run["traceparent"] == inside
    assert events["tool.nats_publish.completed"]["traceparent"] == inside
    answer = events["custom.answer"]["traceparent"]  # the Gateway tells a tool its run only on the plugin's own way
    assert answer == inside if world.health()["way"] == "plugin" else answer.startswith(f"00-{trace}-")
    assert run["tracestate"].startswith("openclaw=")  # the Gateway's own trace

    def exported() -> dict[str, Any] | None:
        found = {one.name: one for one in world.collector.spans if one.trace_id.hex() == trace}
        return found if {"invoke_agent ops", "execute_tool nats_publish"} <= found.keys() else None

    spans = wait_until(exported, 30, "the spans")
    turn = spans["invoke_agent ops"]
    assert (turn.parent_span_id.hex(), turn.span_id.hex()) == (span, f"{run_span(run['runid']):016x}")
    assert all(one.parent_span_id == turn.span_id for one in spans.values() if one is not turn)
    assert len(turn.links) == 1


def test_a_burst_of_1000_events_is_at_most_25_turns_with_each_event_once(world: Gateway) -> None:
    world.route("burst", "agent.events.custom.burst.>", "agent:main:burst", flow={"batch": {"size": 50, "wait": "5s"}})
    before = sum(world.states().values())
    lines = [
        {
            "specversion": "1.0",
            "id": f"burst-{number}",
            "source": "test",
            "type": "test",
            "subject": "agent.events.custom.burst.x",
            "data": {"mark": f"b{number}b"},
        }
        for number in range(1000)
    ]
    assert world.sidecar.post_events(lines)[1]["accepted"] == 1000
    world.settled(before + 1000, 240)
    receipts = [one for one in world.call("GET", "/api/receipts?limit=1000")[1]["receipts"] if one["route"] == "burst"]
    assert len(receipts) <= 25
    assert sum(one["events"] for one in receipts) == 1000

    def marks() -> Counter[str] | None:
        turns = [prompt for prompt in world.prompts() if '"mark":' in prompt]
        counted = Counter(mark for prompt in turns for mark in set(re.findall(r'"mark":"(b\d+b)"', prompt)))
        return counted if len(counted) == 1000 else None

    counted = wait_until(marks, 120, "all marks in the model's log")
    assert set(counted.values()) == {1}
    assert len({prompt for prompt in world.prompts() if '"mark":' in prompt}) <= 25
    spans = sorted((one["createdAt"], one["endedAt"]) for one in receipts)
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(spans))  # one at a time
    route = world.call("GET", "/api/routes/burst")[1]["counts"]
    assert (route["matched"], route["turns"], route["turnsAvoided"]) == (1000, len(receipts), 1000 - len(receipts))


def test_the_classic_loop_ends_after_max_hops_and_says_so(world: Gateway) -> None:
    for name in ("named", "isolated", "main", "wake", "hops", "burst"):
        world.call("DELETE", f"/api/routes/{name}")
    world.route("loop", "agent.events.>", "main", flow={"debounce": "1s", "maxWait": "3s"})
    assert world.sidecar.publish("agent.events.custom.spark", {"word": "spark"})[0] == 200
    wait_until(lambda: world.health()["loopGuard"]["stopped"] > 0, 120, "the loop guard")
    time.sleep(5)
    turns = world.call("GET", "/api/routes/loop")[1]["counts"]["turns"]
    time.sleep(12)
    assert world.call("GET", "/api/routes/loop")[1]["counts"]["turns"] == turns  # it has stopped
    assert turns <= 12
    health = world.health()
    assert health["loopGuard"]["last"]["route"] == "loop"
    assert health["loopGuard"]["last"]["hops"] > 3
    assert health["counts"]["dropped"] > 0
    assert any(one["subject"] == "agent.events.bus.loop_stopped" for one in world.events())
    assert "loop_guard.stopped" in (world.sidecar.home / "logs" / "sidecar.log").read_text()
    world.call("DELETE", "/api/routes/loop")
