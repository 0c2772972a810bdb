"""The list of agent runs: what woke them, how they ended, what they used; filters, pages, what others say of runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support import jetstream
from tests.support.inbound import Bus, running_bus
from tests.support.processes import event, wait_until

CONFIG = """[budget]
prices = [{ model = "priced", input = 2.0, output = 10.0 }]
"""
PREFIX = "agent.events."


class Story:
    """Reports what a Gateway reports of runs."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.number = 0

    def say(self, run: str, subject: str, agent: str = "main", dispatch: str = "", **data: Any) -> None:
        self.number += 1
        facts = {"agentid": agent, "runid": run, "sessionkey": f"agent:{agent}:main"}
        facts |= {"causationid": dispatch} if dispatch else {}
        one = event(f"s{self.number}", PREFIX + subject, **facts, data=data)
        assert self.bus.sidecar.post_events([one])[0] == 200


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    """One run that a route woke, a failed one, a chat of another agent, and one that has not ended."""
    with running_bus(tmp_path_factory.mktemp("runs"), CONFIG) as one:
        one.route("door", "agent.events.custom.door.>", "main")
        one.publish("door.front", {"n": 1})
        wait_until(lambda: len(one.receipts()) == 1 and not one.pending(), what="the turn")
        dispatch = one.receipts()[0]["id"]
        story = Story(one)
        story.say("woken", "tool.exec.completed", dispatch=dispatch, success=True)
        story.say("woken", "tool.exec.failed", dispatch=dispatch, success=False, error="exit 1")
        story.say("woken", "subagent.spawned", dispatch=dispatch, childSessionKey="agent:main:subagent:x")
        usage = {"input": 1000, "output": 100, "cacheRead": 50}
        story.say("woken", "llm.output", dispatch=dispatch, model="big", usage=usage, cost=0.5)
        story.say("woken", "llm.output", dispatch=dispatch, model="priced", usage={"input": 500_000})
        story.say("woken", "agent.run_ended", dispatch=dispatch, success=True, status="ok", durationMs=90_000)
        story.say("broken", "llm.output", model="unknown", usage={"input": 10})
        story.say("broken", "agent.run_ended", success=False, status="error", error="the model is away", durationMs="x")
        story.say("going", "tool.read.completed", agent="ops", success=True)
        story.say("chat", "agent.run_ended", agent="ops", success=True, durationMs=-5)
        # What others say of runs is nobody's word.
        forged = b'{"runid": "woken", "agentid": "main", "data": {"model": "big", "cost": 900}}'
        jetstream.publish(one.nats, PREFIX + "llm.output", forged)
        jetstream.publish(one.nats, PREFIX + "agent.run_ended", b'{"runid": "going", "data": {"success": true}}')
        wait_until(lambda: one.call("GET", "/api/runs")[1]["index"]["behind"] == 0, what="the index")
        yield one


def runs(bus: Bus, **query: Any) -> dict[str, Any]:
    status, found = bus.call("GET", f"/api/runs?{urlencode(query)}")
    assert status == 200, found
    return found  # type: ignore[no-any-return]


def names(found: dict[str, Any]) -> list[str]:
    return [one["run"] for one in found["runs"]]


def test_those_without_an_end_come_first_then_the_newest(bus: Bus) -> None:
    found = runs(bus)
    assert names(found) == ["going", "chat", "broken", "woken"]
    assert found["cursor"] is None
    going = found["runs"][0]
    assert (going["result"], going["ended"], going["agent"], going["tools"]) == ("open", None, "ops", 1)


def test_a_line_says_what_woke_it_what_it_did_and_what_it_used(bus: Bus) -> None:
    woken = next(one for one in runs(bus)["runs"] if one["run"] == "woken")
    assert (woken["route"], woken["receipt"]) == ("door", bus.receipts()[0]["id"])
    assert (woken["agent"], woken["session"], woken["result"]) == ("main", "agent:main:main", "ok")
    assert (woken["tools"], woken["failedTools"], woken["subagents"]) == (2, 1, 1)
    assert (woken["calls"], woken["models"], woken["cost"], woken["unpriced"]) == (2, ["big", "priced"], 1.5, 0)
    assert (woken["input"], woken["output"], woken["cacheRead"]) == (501_000, 100, 50)
    assert 90 <= woken["seconds"] < 100  # as the Gateway measured it: it has begun before its first event
    assert woken["complete"]
    broken = next(one for one in runs(bus)["runs"] if one["run"] == "broken")
    assert (broken["result"], broken["error"], broken["unpriced"]) == ("failed", "the model is away", 1)
    assert (broken["route"], broken["receipt"]) == ("", "")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"agent": "ops"}, ["going", "chat"]),
        ({"session": "agent:main:main"}, ["broken", "woken"]),
        ({"route": "door"}, ["woken"]),
        ({"route": "none"}, []),
        ({"result": "failed"}, ["broken"]),
        ({"result": "ok"}, ["chat", "woken"]),
        ({"result": "open"}, ["going"]),
        ({"since": "1h"}, ["going", "chat", "broken", "woken"]),
        ({"until": "1h"}, []),
    ],
)
def test_filters(bus: Bus, query: dict[str, str], expected: list[str]) -> None:
    assert names(runs(bus, **query)) == expected


def test_pages_follow_each_other(bus: Bus) -> None:
    seen, cursor = [], ""
    for _ in range(10):
        found = runs(bus, limit=1, **({"cursor": cursor} if cursor else {}))
        seen += names(found)
        cursor = found["cursor"] or ""
        if not cursor:
            break
    assert seen == ["going", "chat", "broken", "woken"]


def test_what_is_asked_wrongly_is_refused(bus: Bus) -> None:
    for query in (
        "result=done",
        "limit=201",
        "limit=0",
        "cursor=x",
        "since=soon",
        f"route={'r' * 600}",
        "text=a",
        "run=x",
    ):
        assert bus.call("GET", f"/api/runs?{query}")[0] == 400, query
    assert bus.sidecar.request("GET", "/api/runs", key="")[0] == 401


def test_a_run_names_the_event_that_woke_it(bus: Bus) -> None:
    found = bus.call("GET", "/api/runs/woken")[1]
    (by,) = found["wokenBy"]
    assert (by["route"], by["subject"], by["state"]) == ("door", "agent.events.custom.door.front", "delivered")
    stored = bus.sidecar.request("GET", f"/api/events/{by['sequence']}")
    assert (stored[0], b"door.front" in stored[2]) == (200, True)
    assert bus.call("GET", f"/api/deliveries/{by['delivery']}")[1]["event"] == by["eventId"]
    assert bus.call("GET", "/api/runs/chat")[1]["wokenBy"] == []


def test_the_command_prints_a_table(bus: Bus) -> None:
    text = bus.sidecar.command("runs").stdout
    lines = {
        word: one for word in ("woken", "broken", "going", "chat") for one in text.splitlines() if one.endswith(word)
    }
    assert lines["woken"].split()[2:9] == ["door", "ok", "2", "(1", "failed)", "501,150", "1.5000"]
    assert lines["broken"].split()[6] == "?", "nobody knows what it cost"
    assert "no end yet" in lines["going"]
    assert bus.sidecar.command("runs", "--agent", "nobody").stdout.strip() == "No run matches."
    assert "woken" not in bus.sidecar.command("runs", "--result", "failed").stdout
    assert "More: --cursor" in bus.sidecar.command("runs", "--limit", "1").stdout


def test_many_events_of_one_run_are_counted_up_to_a_limit(bus: Bus) -> None:
    lines = [
        event(f"m{number}", PREFIX + "llm.output", agentid="busy", runid="busy", data={"model": "big", "cost": 0.01})
        for number in range(150)
    ]
    assert bus.sidecar.post_events(lines)[1]["accepted"] == 150
    (one,) = wait_until(lambda: runs(bus, agent="busy")["runs"], what="the run")
    wait_until(lambda: runs(bus, agent="busy")["runs"][0]["calls"] == 150, what="all calls")
    one = runs(bus, agent="busy")["runs"][0]
    assert (one["result"], one["complete"], round(one["cost"], 4)) == ("open", False, 1.0)
