"""Replay: stored events go through a route once more, on a running sidecar with a nats-server and a Gateway's stub."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import jetstream
from tests.support.inbound import ROOMY, Bus, running_bus
from tests.support.processes import wait_until

DOOR = "agent.events.custom.door"
CONFIG = ROOMY + "replay_turns_per_hour = 100000\n"
ONE_BY_ONE = {"batch": {"size": 1, "wait": "1s"}}


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    with running_bus(tmp_path, CONFIG) as one:
        yield one


def replay(bus: Bus, route: str = "door", **more: Any) -> tuple[int, Any]:
    return bus.call("POST", f"/api/routes/{route}/replay", {"from": "1h", **more})


def begun(bus: Bus, route: str = "door", **more: Any) -> int:
    status, found = replay(bus, route, **more)
    assert status == 202, found
    return int(found["id"])


def shown(bus: Bus, number: int) -> dict[str, Any]:
    found = bus.call("GET", "/api/replays")[1]["replays"]
    return next(one for one in found if one["id"] == number)


def ended(bus: Bus, number: int, seconds: float = 30) -> dict[str, Any]:
    """A replay that is done and of which nothing waits."""

    def done() -> dict[str, Any] | None:
        one = shown(bus, number)
        return one if one["state"] == "done" and not one["waiting"] else None

    return dict(wait_until(done, seconds, f"the end of replay {number}"))


def numbers_of(text: str) -> list[int]:
    return [int(one) for one in re.findall(r'"n":(\d+)', text)]


def replayed(bus: Bus) -> list[int]:
    """The values of `n` in turns that say that they are replayed."""
    return sorted(number for text in bus.messages() if "Replayed from 20" in text for number in numbers_of(text))


def three_ends(bus: Bus) -> None:
    """Event 0 was delivered, 1 became a dead letter, 2 no condition let through, 3 came before the route."""
    bus.publish("door", {"n": 3})
    bus.route("door", DOOR, "main", when="data.n < 2", retry={"attempts": 1, "backoff": ["1s"]}, flow=ONE_BY_ONE)
    bus.publish("door", {"n": 0})
    bus.settled(1)
    bus.stub.mode("400", 1)
    bus.publish("door", {"n": 1})
    wait_until(lambda: len(bus.dead()) == 1)
    bus.publish("door", {"n": 2})
    bus.call("PATCH", "/api/routes/door", {"when": None})


@pytest.mark.parametrize(
    ("only", "expected"), [("failed", [1]), ("skipped", [2, 3]), ("delivered", [0]), ("all", [0, 1, 2, 3])]
)
def test_each_only(bus: Bus, only: str, expected: list[int]) -> None:
    three_ends(bus)
    status, plan = replay(bus, only=only, dryRun=True)
    assert (status, plan["deliveries"], plan["turns"]) == (200, len(expected), len(expected))
    assert plan["summary"].startswith(f"{len(expected)} of 4 events would be replayed, as about {len(expected)} turn")
    assert bus.call("GET", "/api/replays")[1] == {"replays": []}
    found = ended(bus, begun(bus, only=only))
    assert (found["made"], found["delivered"]) == (len(expected), len(expected))
    assert replayed(bus) == expected
    stored = [one["data"]["n"] for one in bus.sidecar.events() if one["subject"] == DOOR]
    assert stored == [3, 0, 1, 2], "never stored again"


def test_the_event_keeps_its_id_and_a_second_replay_is_a_new_one(bus: Bus) -> None:
    bus.route("door", DOOR, "main")
    event = bus.publish("door", {"n": 0})
    bus.settled(1)
    for expected in (1, 2):
        ended(bus, begun(bus, only="delivered"))
        assert replayed(bus) == [0] * expected
    found = bus.call("GET", "/api/deliveries")[1]["deliveries"]
    assert [one["event"] for one in found] == [event] * 3
    detail = bus.call("GET", f"/api/deliveries/{found[0]['id']}")[1]
    assert detail["state"] == "delivered"
    acts = [one["act"] for one in bus.call("GET", "/api/audit")[1]["records"]]
    assert acts.count("routes.replay") == 2


def test_a_limit_and_a_rate(bus: Bus) -> None:
    bus.route("door", DOOR, "main", flow=ONE_BY_ONE)
    for number in range(6):
        bus.publish("door", {"n": number})
    bus.settled(6)
    plan = replay(bus, only="delivered", limit=2, dryRun=True)[1]
    assert (plan["deliveries"], plan["complete"]) == (2, False)
    assert ended(bus, begun(bus, only="delivered", limit=2))["made"] == 2
    assert replayed(bus) == [0, 1], "the oldest first"
    number = begun(bus, only="delivered", rate="2/1h")
    wait_until(lambda: shown(bus, number)["delivered"] == 2)
    assert shown(bus, number)["state"] == "running"
    assert bus.call("DELETE", f"/api/replays/{number}")[0] == 204
    assert shown(bus, number)["state"] == "stopped"
    assert bus.call("DELETE", f"/api/replays/{number}")[0] == 400
    number = begun(bus, only="delivered", rate="3/1s")
    assert ended(bus, number)["made"] == 6
    times = [one["time"] for one in bus.stub.acts() if "Replayed" in str(one["body"])][-6:]
    assert times[-1] - times[0] >= 0.9
    assert replay(bus, rate="2")[0] == 400
    assert replay(bus, to="2h")[0] == 400


def test_a_kill_in_the_middle_loses_none_and_doubles_none(bus: Bus) -> None:
    bus.route("door", DOOR, "main", flow=ONE_BY_ONE)
    for number in range(40):
        bus.publish("door", {"n": number})
    bus.settled(40)
    number = begun(bus, only="delivered", rate="5/1s")
    for enough in (6, 21):
        wait_until(lambda enough=enough: len(replayed(bus)) >= enough)  # type: ignore[misc]
        bus.sidecar.kill()
        assert len(replayed(bus)) < 40
        bus.sidecar.start()
    found = ended(bus, number, 60)
    assert (found["made"], found["delivered"]) == (40, 40)
    assert replayed(bus) == list(range(40))


def test_a_webhook_is_refused_unless_it_is_asked_for(bus: Bus) -> None:
    bus.route("door", DOOR, {"kind": "webhook", "url": f"{bus.stub.url}/receiver"})
    event = bus.publish("door", {"n": 0})
    bus.settled(1)
    status, problem = replay(bus, only="delivered")
    assert status == 400
    assert "webhook" in problem["detail"]
    assert bus.call("GET", "/api/replays")[1] == {"replays": []}
    ended(bus, begun(bus, only="delivered", alsoWebhooks=True))
    bodies = [one["body"] for one in bus.stub.acts() if one["path"] == "/receiver"]
    assert [one["id"] for one in bodies] == [event] * 2


def test_what_waits_for_turns_does_not_go_to_a_webhook_instead(bus: Bus) -> None:
    bus.route("door", DOOR, "main")
    bus.publish("door", {"n": 0})
    bus.settled(1)
    bus.call("POST", "/api/pause", {"route": "door"})
    number = begun(bus, only="delivered")
    wait_until(lambda: shown(bus, number)["waiting"] == 1)  # a pause holds it
    target = {"kind": "webhook", "url": f"{bus.stub.url}/receiver"}
    bus.call("PATCH", "/api/routes/door", {"target": target})
    bus.call("POST", "/api/resume", {"route": "door"})
    assert ended(bus, number)["ended"] == 1
    assert not [one for one in bus.stub.acts() if one["path"] == "/receiver"]


def test_hops_and_origin_are_those_of_the_event(bus: Bus) -> None:
    bus.route("door", DOOR, "main")
    event = {"specversion": "1.0", "id": "deep", "source": "test", "type": "t", "subject": DOOR, "hops": 2, "data": 1}
    assert bus.sidecar.post_events([event])[0] == 200
    bus.settled(1)
    jetstream.publish(bus.nats, DOOR, b'{"from": "nobody"}')
    bus.settled(2)
    ended(bus, begun(bus, only="delivered"))
    rows = bus.call("GET", "/api/deliveries")[1]["deliveries"][::-1]
    shown = [[one[name] for name in ("hops", "origin", "tainted", "event", "subject")] for one in rows]
    assert shown[2:] == shown[:2]
    assert [one[0] for one in shown] == [2, 0, 2, 0]
    assert [tuple(one[1:3]) for one in shown[:2]] == [("operator", False), ("outside", True)]


def test_what_nobody_has_sealed_stays_dropped(bus: Bus) -> None:
    bus.route("models", "agent.events.llm.output", "main")
    jetstream.publish(bus.nats, "agent.events.llm.output", b'{"data": {"n": 0}}')
    bus.settled(1)
    plan = replay(bus, "models", only="all", dryRun=True)[1]
    assert (plan["deliveries"], plan["refused"]) == (0, 1)
    assert "1 would end as they did" in plan["summary"]
    assert ended(bus, begun(bus, "models", only="all"))["made"] == 0
    assert not bus.messages()


def test_what_has_left_the_stream_is_counted_and_said(bus: Bus) -> None:
    bus.route("door", DOOR, "main")
    first = bus.sidecar.publish(DOOR, {"n": 0})[1]["sequence"]
    for number in (1, 2):
        bus.publish("door", {"n": number})
    bus.settled(3)
    jetstream.api(bus.nats, "STREAM.MSG.DELETE.agent_events", {"seq": first})
    status, plan = replay(bus, only="delivered", dryRun=True)
    assert (status, plan["gone"], plan["deliveries"]) == (200, 1, 2)
    assert "1 can't be replayed any more: they have left the stream" in plan["summary"]
    assert ended(bus, begun(bus, only="delivered"))["gone"] == 1


def test_replays_have_a_budget_of_their_own(tmp_path: Path) -> None:
    with running_bus(tmp_path, ROOMY + "replay_turns_per_hour = 1\n") as bus:
        bus.route("door", DOOR, "main", flow=ONE_BY_ONE)
        for number in range(3):
            bus.publish("door", {"n": number})
        bus.settled(3)
        number = begun(bus, only="delivered")
        wait_until(lambda: shown(bus, number)["delivered"] == 1)
        wait_until(lambda: len(bus.pending()) == 2)
        assert bus.pending()[0]["reason"] == "budget.replay_turns_per_hour is spent"
        bus.publish("door", {"n": 7})  # what happens now goes out
        wait_until(lambda: [7] in bus.numbers())
        bus.sidecar.signal(signal.SIGTERM)
        bus.sidecar.start()  # what was spent still counts
        assert len(bus.pending()) == 2
        assert bus.call("DELETE", f"/api/replays/{number}")[0] == 204
        assert not bus.pending()
