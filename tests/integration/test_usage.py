"""What turns cost, by agent, route, model and day; what was avoided; what a dry run says that a route would cost."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import jetstream
from tests.support.inbound import Bus, running_bus
from tests.support.processes import event, wait_until

CONFIG = """[budget]
prices = [{ model = "priced", input = 2.0, output = 10.0 }]
"""
SUBJECT = "agent.events.llm.output"


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    """Two turns of the route `door`, of which the first took three events, and one of nobody's."""
    with running_bus(tmp_path_factory.mktemp("usage"), CONFIG) as one:
        one.route("door", "agent.events.custom.door.>", "main", flow={"batch": {"size": 3, "wait": "2s"}})
        for number in range(4):
            one.publish("door.front", {"n": number})
        wait_until(lambda: len(one.receipts()) == 2 and not one.pending(), what="two turns")
        dispatches = {receipt["events"]: receipt["id"] for receipt in one.receipts()}
        report(one, "u1", "r1", dispatches[3], model="big", usage={"input": 1000, "output": 100}, cost=0.5)
        report(one, "u2", "r1", dispatches[3], model="priced", usage={"input": 500_000, "cacheRead": 250}, cost=None)
        report(one, "u3", "r2", dispatches[1], model="big", usage={"input": 1000, "output": 100}, cost=0.5)
        report(one, "u4", "r3", "", agent="ops", model="unknown", usage={"input": 10, "output": 5})
        report(one, "u5", "r3", "", agent="ops", model=["not", "text"], usage="none", cost="much")
        yield one


def report(bus: Bus, number: str, run: str, dispatch: str, agent: str = "main", **data: Any) -> None:
    facts = {"agentid": agent, "runid": run} | ({"causationid": dispatch} if dispatch else {})
    assert bus.sidecar.post_events([event(number, SUBJECT, **facts, data=data)])[0] == 200


def spending(bus: Bus, kind: str) -> dict[str, Any]:
    status, found = bus.call("GET", f"/api/spending?by={kind}&since=1h")
    assert status == 200, found
    return found  # type: ignore[no-any-return]


def by_name(found: dict[str, Any]) -> dict[str, Any]:
    return {line["name"]: line for line in found["lines"]}


def test_by_route_with_what_was_avoided_at_the_mean_of_its_turns(bus: Bus) -> None:
    found = spending(bus, "route")
    door, nobody = by_name(found)["door"], by_name(found)[""]
    assert (door["turns"], door["calls"], door["cost"]) == (2, 3, 2.0)
    assert (door["input"], door["output"], door["cacheRead"]) == (502_000, 200, 250)
    assert (door["avoided"], door["avoidedCost"]) == (2, 2.0)  # two of three events, at 1.00 a turn
    assert (nobody["turns"], nobody["cost"], nobody["unpriced"]) == (1, 0.0, 1)
    assert (found["total"]["turns"], found["total"]["cost"], found["total"]["avoided"]) == (3, 2.0, 2)
    assert found["complete"]


def test_by_agent_model_and_day(bus: Bus) -> None:
    agents, models = by_name(spending(bus, "agent")), by_name(spending(bus, "model"))
    assert (agents["main"]["cost"], agents["ops"]["calls"]) == (2.0, 2)
    assert (models["big"]["turns"], models["big"]["cost"]) == (2, 1.0)
    assert (models["priced"]["cost"], models["unknown"]["unpriced"], models[""]["cost"]) == (1.0, 1, 0)
    days = spending(bus, "day")
    assert sum(line["cost"] for line in days["lines"]) == days["total"]["cost"] == 2.0


def test_what_somebody_outside_says_of_models_counts_nothing(bus: Bus) -> None:
    before = spending(bus, "agent")["total"]["calls"]
    jetstream.publish(bus.nats, SUBJECT, b'{"agentid": "main", "data": {"model": "big", "cost": 900}}')
    assert bus.call("GET", "/api/spending?since=59m")[1]["total"]["calls"] == before


def test_what_is_asked_wrongly_is_refused(bus: Bus) -> None:
    for query in ("by=colour", "since=soon", "until=1h"):
        assert bus.call("GET", f"/api/spending?{query}")[0] == 400
    assert bus.sidecar.request("GET", "/api/spending", key="")[0] == 401


def test_the_command_prints_a_table_and_values_for_spreadsheets(bus: Bus) -> None:
    report(bus, "u6", "r4", "", agent="=cmd()", model="big", usage={"input": 1}, cost=0.0001)
    text = bus.sidecar.command("usage", "--by", "route", "--since", "1h").stdout
    assert "door" in text
    assert "(no route: chats, heartbeats)" in " ".join(text.split())
    done = bus.sidecar.command("usage", "--by", "agent", "--since", "58m", "--csv")
    rows = {row["agent"]: row for row in csv.DictReader(io.StringIO(done.stdout))}
    assert float(rows["main"]["cost"]) == 2.0
    assert "'=cmd()" in rows  # no formula
    assert bus.sidecar.command("usage", "--csv", "--json").returncode == 2


def test_a_dry_run_says_turns_tokens_and_money_a_day_from_the_routes_own_turns(bus: Bus) -> None:
    report_of_door = bus.call("POST", "/api/routes/door/test", {"since": "1h"})[1]
    day = report_of_door["perDay"]
    assert (report_of_door["turns"], day["turns"], day["cost"]) == (2, 48, 48.0)
    assert day["tokens"] == 48 * (502_000 + 200 + 250) / 2
    assert day["basis"] == "the route's own 2 turns of the last 7 days"
    assert report_of_door["summary"].startswith("4 of 4 events of the last 1h match and make 2 turns: about 48 turns, ")
    draft = {"name": "new", "pattern": "agent.events.custom.door.>", "target": {"kind": "agent", "agentId": "main"}}
    found = bus.call("POST", "/api/routes/new/test", {"since": "1h", "route": draft})[1]
    turns = found["turns"] * 24  # of an hour, at 1.00 each
    assert found["perDay"]["basis"] == "agent main's 2 turns of the last 7 days"
    assert (found["perDay"]["turns"], found["perDay"]["cost"]) == (turns, turns)
    draft["target"] = {"kind": "agent", "agentId": "nobody"}
    day = bus.call("POST", "/api/routes/new/test", {"since": "1h", "route": draft})[1]["perDay"]
    assert (day["tokens"], day["cost"], day["basis"]) == (None, None, "no turn of the last 7 days was measured")
    webhook = {**draft, "target": {"kind": "webhook", "url": "http://127.0.0.1:1/"}}
    assert "perDay" not in bus.call("POST", "/api/routes/new/test", {"since": "1h", "route": webhook})[1]


def test_the_sentence_comes_first_and_the_list_behind_all(bus: Bus) -> None:
    short = bus.sidecar.command("routes", "test", "door", "--since", "1h").stdout
    assert "about 48 turns" in " ".join(short.splitlines()[0:3])
    whole = bus.sidecar.command("routes", "test", "door", "--since", "1h", "--all").stdout
    assert ('{"n":0}' in short, '{"n":3}' in short) == (True, False)
    assert ('{"n":0}' in whole, '{"n":3}' in whole) == (True, True)
