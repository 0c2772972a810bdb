"""A dead letter is an event that routes take like any other, and no loop comes of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import jetstream
from tests.support.http_receiver import receiving
from tests.support.inbound import Bus, running_bus
from tests.support.processes import event, wait_until

AWAY = {"kind": "webhook", "url": "http://127.0.0.1:1/"}
LETTERS = "agent.events.dlq.>"
CONTENT = "PRIVATE-WORDS-OF-A-CHAT"


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    with running_bus(tmp_path) as one:
        yield one


def letters(bus: Bus) -> list[dict[str, Any]]:
    return bus.sidecar.events("?subject=agent.events.dlq.%3E")


def test_a_route_on_dead_letters_gets_each_of_them_once_without_content(bus: Bus) -> None:
    with receiving() as receiver:
        done = bus.sidecar.command("routes", "add", "parking", "agent.dlq.>", receiver.url)
        assert done.returncode == 0, done.stderr
        assert bus.call("GET", "/api/routes/parking")[1]["pattern"] == LETTERS
        bus.route("dies", "agent.events.custom.dies", AWAY, retry={"attempts": 1})
        bus.publish("dies", {"text": CONTENT})
        wait_until(lambda: receiver.got, what="the letter")
        bus.sidecar.kill()
        bus.sidecar.start()
        time.sleep(3)
        [(_, body)] = receiver.got
    got = json.loads(body)
    assert CONTENT not in body.decode()
    assert "custom.dies" in body.decode()
    [letter] = letters(bus)
    assert (letter["subject"], letter["hops"]) == ("agent.events.dlq.custom.dies", 1)
    dead = bus.dead()[0]
    assert {name: letter["data"][name] for name in ("delivery", "route", "reason", "subject")} == {
        "delivery": dead["id"],
        "route": "dies",
        "reason": dead["reason"],
        "subject": "agent.events.custom.dies",
    }
    assert got


def test_a_route_that_fails_on_dead_letters_makes_no_loop(bus: Bus) -> None:
    with receiving() as receiver:
        receiver.answer = 400
        to = {"kind": "webhook", "url": receiver.url}
        bus.route("parking", "agent.dlq.>", to)
        bus.route("other", LETTERS, to)
        bus.route("all", "agent.events.>", to)
        bus.publish("x", {})
        wait_until(lambda: bus.states()["dead"] == 3, 30, what="the event's letter, and those of two routes for it")
        time.sleep(4)
    assert bus.states()["dead"] == 3, "the route of the first one does not get it"
    assert [one["subject"] for one in letters(bus)] == ["agent.events.dlq.custom.x"], "a letter's letter is no event"
    stored = jetstream.read(bus.nats, "agent_dlq")
    assert len(stored) == 3, "but it is kept like any other"


def test_what_leads_to_dead_letters_again_and_again_ends_with_the_loop_guard(bus: Bus) -> None:
    """As an agent would whose turn for a dead letter publishes an event that dies."""
    deep = {"hops": 3, "runid": "r", "agentid": "main"}
    bus.route("dies", "agent.events.tool.>", AWAY, retry={"attempts": 1})
    with receiving() as receiver:
        bus.route("parking", "agent.dlq.>", {"kind": "webhook", "url": receiver.url})
        assert bus.sidecar.post_events([event("deep", "agent.events.tool.x.failed", **deep)])[0] == 200
        wait_until(lambda: letters(bus), 30, what="the letter")
        wait_until(lambda: bus.health()["loopGuard"]["stopped"] == 1, 30, what="the loop guard")
        assert letters(bus)[0]["hops"] == 4
        assert receiver.got == []


def test_nobody_else_publishes_dead_letters_and_agents_do_not_read_them(bus: Bus) -> None:
    with receiving() as receiver:
        bus.route("parking", "agent.dlq.>", {"kind": "webhook", "url": receiver.url})
        jetstream.publish(bus.nats, "agent.events.dlq.custom.x", b'{"forged": true}')
        wait_until(lambda: bus.states().get("dropped") == 1, 30, what="the forgery")
        assert receiver.got == []
        caller = {"agentId": "main", "sessionKey": "agent:main:main"}
        parameters = {"subject": "agent.events.dlq.custom.x", "payload": {}}
        assert bus.call("POST", "/api/tools/nats_publish", {"caller": caller, "parameters": parameters})[0] == 403
        wanted = {"name": "mine", "pattern": LETTERS}
        assert bus.call("POST", "/api/tools/nats_subscribe", {"caller": caller, "parameters": wanted})[0] == 200
        bus.route("dies", "agent.events.custom.dies", AWAY, retry={"attempts": 1})
        bus.publish("dies", {})
        wait_until(lambda: bus.states()["delivered"] == 1, 30, what="the letter at the operator's route")
        time.sleep(2)
        assert sum(bus.states().values()) == 3, "the forgery, the event, the letter: and none for the agent's route"
    refused, problem = bus.call(
        "POST", "/api/routes", {"name": "t", "pattern": "agent.dlq.>", "target": "main", "trusted": True}
    )
    assert (refused, problem["field"]) == (422, "trusted"), "a letter's words are an event's"


def test_a_file_of_routes_may_name_dead_letters_and_says_nothing_differs(bus: Bus, tmp_path: Path) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(
        '[[route]]\nname = "p"\npattern = "agent.dlq.>"\ntarget = { kind = "webhook", url = "http://127.0.0.1:1/" }\n'
    )
    assert bus.sidecar.command("routes", "apply", "--yes", "-f", str(file)).returncode == 0
    assert json.loads(bus.sidecar.command("routes", "apply", "-f", str(file), "--json").stdout)["changes"] == []
