"""The same plugin on the oldest Gateway that installs and on one in the middle: a shorter list, as they give less."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.gateway.test_events import PRIVATE, chat, turn
from tests.gateway.world import World, only, subjects

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(600)]


@pytest.fixture(scope="module", params=["2026.3.1", "2026.6.11"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    one = World(tmp_path_factory.mktemp("world"), request.param)
    one.start()
    yield one
    one.close()


def old(world: World) -> bool:
    return world.gateway.old


def test_startup_and_report(world: World) -> None:
    only(world.settle(2.5), "gateway.startup")
    plugin = world.sidecar.get("/api/health")[1]["plugin"]
    assert plugin["reachable"] is True
    assert plugin["conversationAccess"] is (None if old(world) else True)
    assert plugin["problems"] == []
    assert bool(plugin["notes"]) is old(world)


def test_a_turn(world: World) -> None:
    world.run(turn("warm up"), until="agent.run_ended")
    events = world.run(turn(f"{PRIVATE}\n!usage 1234 56\n!say {PRIVATE}", key="turn-one"), until="agent.run_ended")
    ended, output = only(events, "agent.run_ended"), only(events, "llm.output")
    assert (ended["agentid"], ended["sessionkey"]) == ("main", "agent:main:main")
    assert ended["data"]["success"] is True
    assert output["runid"] == "turn-one"
    assert output["data"]["usage"]["input"] == 1234
    if not old(world):
        assert ended["runid"] == "turn-one"
        assert only(events, "model.call.completed")["traceparent"]


@pytest.mark.parametrize(
    ("name", "arguments", "outcome"),
    [
        ("bus_ok", {"note": PRIVATE}, "completed"),
        ("bus_throw", {}, "failed"),
        ("bus_soft", {}, "failed"),
        ("exec", {"command": "echo hi"}, "completed"),
        ("exec", {"command": "exit 3"}, "failed"),
    ],
)
def test_tool_calls(world: World, name: str, arguments: dict[str, str], outcome: str) -> None:
    events = world.run(
        turn(f"!call {name} {json.dumps(arguments)}", key=f"t-{name}-{outcome}"), until="agent.run_ended"
    )
    told = [subject for subject in subjects(events) if subject.startswith("tool.")]
    assert told == [f"tool.{name}.{outcome}"]
    event = only(events, told[0])
    assert (event["agentid"], event["sessionkey"]) == ("main", "agent:main:main")
    assert event["data"]["durationMs"] >= 0
    if not old(world):
        assert event["runid"] == f"t-{name}-{outcome}"
        assert event["data"]["toolCallId"]


def test_a_model_that_fails(world: World) -> None:
    events = world.run(turn("!fail 400", "agent:main:broken"), until="agent.run_ended")
    assert only(events, "agent.run_ended")["data"]["success"] is False


def test_chat_and_new(world: World) -> None:
    events = world.run(chat(f"hello {PRIVATE}"), until="agent.run_ended")
    assert only(events, "message.received")["data"]["channel"] == "webchat"
    events = world.run(chat("/new", seconds=8), until="session.ended")
    only(events, "session.ended")
    assert only(events, "session.started")["data"]["resumedFrom"]
    if not old(world):
        only(events, "session.new")


def test_subagents(world: World) -> None:
    events = world.run(
        turn('!call sessions_spawn {"task":"!say done","label":"helper"}'), until="subagent.ended", seconds=60
    )
    assert only(events, "subagent.spawned")["runid"] == only(events, "subagent.ended")["runid"]


def test_stop_and_nothing_private_and_no_event_twice(world: World) -> None:
    world.gateway.stop()
    events = world.settle()
    only(events, "gateway.stopped")
    assert PRIVATE not in json.dumps(events)
    assert max(Counter(event["id"] for event in events).values()) == 1
    runs = Counter(event["runid"] for event in events if event["subject"].endswith("run_ended") and event.get("runid"))
    assert max(runs.values()) == 1
