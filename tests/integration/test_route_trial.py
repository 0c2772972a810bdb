"""Conditions are tried on the newest events of the stream when a route is saved."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import jetstream
from tests.support.inbound import Bus, running_bus
from tests.support.processes import wait_until


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    with running_bus(tmp_path_factory.mktemp("trial")) as one:
        for number in range(3):
            one.publish("mixed", {"n": number, "a": [1]})
        one.publish("mixed", {"n": "text", "a": "text"})
        for number in range(25):
            one.publish("numbers", {"n": number})
        for _ in range(2):
            one.publish("texts", {"n": "text", "a": "text"})
            one.publish("short", {"a": [1]})
        event = {"specversion": "1.0", "id": "1", "source": "7", "type": "t", "subject": "agent.events.custom.source"}
        jetstream.publish(one.nats, "agent.events.custom.source", json.dumps(event).encode())
        yield one


def save(bus: Bus, pattern: str, **more: Any) -> tuple[int, Any]:
    return bus.call(
        "POST", "/api/routes", {"name": "r", "pattern": f"agent.events.custom.{pattern}", "target": "main", **more}
    )


@pytest.mark.parametrize(
    ("pattern", "when", "note"),
    [
        ("mixed", "data.n > 1", "when fails on 1 of the 4 newest events of its pattern, such as event 4 ("),
        (
            "numbers",
            "data.n.startsWith('a')",
            "when fails on each of the 20 newest events of its pattern, such as event 29",
        ),
        ("numbers", "data.n > 1", ""),
        ("numbers", "data.missing > 1", "fails on each of the 20 newest"),  # the next one may have it
        ("nobody", "data.n > 1", ""),
        ("short", "data.a[20] == 1", "fails on each of the 2 newest"),
        ("source", "int(source) > 3", ""),  # fails on all made events, but not on this one
    ],
)
def test_what_fails_on_some_events_is_saved_and_told(bus: Bus, pattern: str, when: str, note: str) -> None:
    status, answer = save(bus, pattern, when=when)
    assert status in (200, 201), answer
    told = answer.get("trialNote", "")
    assert note in told
    assert bool(told) is bool(note)
    assert "trialNote" not in bus.call("GET", "/api/routes/r")[1]  # it is about the moment of saving
    status, changed = bus.call("PATCH", "/api/routes/r", {"when": when})
    assert (status, changed.get("trialNote", "")) == (200, told)
    assert "trialNote" not in bus.call("PATCH", "/api/routes/r", {"enabled": False})[1]


@pytest.mark.parametrize(
    ("pattern", "more", "reason"),
    [
        (
            "numbers",
            {"when": "size(data.n > 1) == 1"},
            "also on each of the 20 newest events of its pattern, such as event",
        ),
        ("texts", {"when": "data.a[20] == 1"}, "also on each of the 2 newest events of its pattern, such as event"),
        ("nobody", {"when": "size(data.n > 1) == 1"}, "when fails on every event"),
        (
            "numbers",
            {"flow": {"key": "int(source)", "batch": {"size": 2, "wait": "1s"}}},
            "flow.key fails on every event",
        ),
    ],
)
def test_what_fails_on_every_event_is_refused_with_one_of_them(
    bus: Bus, pattern: str, more: dict[str, Any], reason: str
) -> None:
    bus.call("DELETE", "/api/routes/r")
    status, answer = save(bus, pattern, **more)
    assert status == 422, answer
    assert reason in answer["detail"]
    assert bus.call("GET", "/api/routes/r")[0] == 404


def test_a_key_that_fails_on_some_is_told_too(bus: Bus) -> None:
    flow = {"key": "string(data.n + 1)", "batch": {"size": 2, "wait": "1s"}}
    assert save(bus, "mixed", flow=flow)[1]["trialNote"].startswith("flow.key fails on 1 of the 4 newest events")


def test_commands_tell_it(bus: Bus) -> None:
    def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "openclaw_nats", "routes", *arguments]
        return subprocess.run(
            command, env=bus.sidecar.environment, capture_output=True, text=True, timeout=60, check=False
        )

    for words in (("add", "cli", "custom.mixed", "main"), ("edit", "cli")):
        done = cli(*words, "--when", "data.n > 1")
        assert done.returncode == 0
        assert "! trial: when fails on 1 of the 4 newest events" in done.stderr
    done = cli("edit", "cli", "--when", "data.n > 2", "--json")
    assert json.loads(done.stdout)["trialNote"].startswith("when fails on 1 of")
    assert done.stderr == ""
    cli("remove", "cli")


def test_agents_learn_nothing_of_events_by_it(bus: Bus) -> None:
    caller = {"agentId": "main", "sessionKey": "agent:main:main"}
    parameters = {"pattern": "agent.events.custom.mixed", "when": "data.n > 1"}
    status, answer = bus.call("POST", "/api/tools/nats_subscribe", {"caller": caller, "parameters": parameters})
    assert status == 200, answer
    assert "fails on" not in json.dumps(answer)
    number = {"id": answer["result"]["id"]}
    assert bus.call("POST", "/api/tools/nats_unsubscribe", {"caller": caller, "parameters": number})[0] == 200


def test_a_nats_that_stands_still_does_not_keep_a_condition_from_being_saved(bus: Bus) -> None:
    assert save(bus, "numbers", when="data.n > 1")[0] in (200, 201)
    bus.nats.signal(signal.SIGSTOP)
    threads = list(Path(f"/proc/{bus.nats.process.pid}/task").iterdir())  # type: ignore[union-attr]
    wait_until(lambda: all(") T " in (one / "stat").read_text() for one in threads), 10, "all of it to stand still")
    try:
        status, answer = bus.call("PATCH", "/api/routes/r", {"when": "data.n > 2"})
        assert status == 200, answer
        assert answer["trialNote"] == "not tried on events of the stream: NATS did not answer within 1.5 s"
        assert bus.call("GET", "/api/routes/r")[1]["when"] == "data.n > 2"
        status, answer = bus.call("PATCH", "/api/routes/r", {"when": "size(data.n > 1) == 1"})
        assert (status, "fails on every event" in answer["detail"]) == (422, True)
    finally:
        bus.nats.signal(signal.SIGCONT)
    wait_until(lambda: bus.call("GET", "/api/health")[0] == 200, 30, "NATS again")


def test_a_rare_subject_in_a_long_stream_is_found(bus: Bus) -> None:
    lines = [
        {
            "specversion": "1.0",
            "id": f"filler-{number}",
            "source": "s",
            "type": "t",
            "subject": "agent.events.custom.filler",
        }
        for number in range(5000)
    ]
    for start in range(0, len(lines), 1000):
        assert bus.sidecar.post_events(lines[start : start + 1000])[0] == 200
    assert "1 of the 4 newest" in save(bus, "mixed", when="data.n > 1")[1]["trialNote"]


def test_a_condition_of_a_process_is_tried_there(bus: Bus) -> None:
    assert save(bus, "mixed", when="[data.n].all(x, x > 1)")[1]["trialNote"].startswith("when fails on 1 of the 4")
