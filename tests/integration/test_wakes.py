"""Jobs and timers that wake: one object, its own ticks alone, its instruction after the events; whatever is killed."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_agents import tool
from tests.integration.test_routes import cli
from tests.support import jetstream
from tests.support.inbound import Bus, running_bus
from tests.support.processes import wait_until

OWN = "agent:main:main"
TOLD = "[openclaw-nats] Your operator's instruction for this turn:\n\n"


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    with running_bus(tmp_path) as one:
        yield one


def message(bus: Bus, count: int = 1) -> str:
    """The text of the turn number `count`, once it is there."""
    return str(wait_until(lambda: found[count - 1] if len(found := bus.messages()) >= count else None, what="a turn"))


def wakes(bus: Bus) -> list[str]:
    """The owners of the routes of jobs and timers, as the database has them."""
    with contextlib.closing(sqlite3.connect(f"file:{bus.sidecar.home / 'sidecar.db'}?mode=ro", uri=True)) as db:
        return [row[0] for row in db.execute("SELECT belongs_to FROM routes WHERE belongs_to <> '' ORDER BY 1")]


def _documents(bus: Bus) -> str:
    with contextlib.closing(sqlite3.connect(f"file:{bus.sidecar.home / 'sidecar.db'}?mode=ro", uri=True)) as db:
        return str(list(db.execute("SELECT document FROM routes")))


def test_a_job_that_wakes_is_one_command_and_one_object(bus: Bus) -> None:
    words = "Look whether the shared inbox has mail older than a day."
    said = cli(bus, "cron", "add", "inbox", "0 8 * * *", "--wake", "main", "--instruction", words)
    assert "job inbox wakes main" in said
    assert bus.call("GET", "/api/routes")[1]["routes"] == []
    assert bus.call("GET", "/api/routes/cron%2Finbox")[0] in (400, 404)
    shown = " ".join(cli(bus, "cron", "show", "inbox").split())
    assert "wakes main" in shown
    assert words in shown
    assert "WAKES" in cli(bus, "cron", "list")
    job = json.loads(cli(bus, "cron", "show", "inbox", "--json"))
    assert (job["wake"], job["instruction"]) == ("main", words)
    cli(bus, "cron", "run", "inbox")
    text = message(bus)
    assert text.endswith(TOLD + words)
    assert '"jobName":"inbox"' in text
    assert words not in json.dumps(bus.sidecar.get("/api/events?limit=100")[1])
    assert "cron/inbox" in cli(bus, "cron", "show", "inbox")
    cli(bus, "cron", "edit", "inbox", "--instruction", "Other words.")
    cli(bus, "cron", "run", "inbox")
    assert message(bus, 2).endswith(TOLD + "Other words.")
    cli(bus, "cron", "edit", "inbox", "--wake", "", "--instruction", "")
    assert wakes(bus) == []
    cli(bus, "cron", "run", "inbox")
    cli(bus, "cron", "edit", "inbox", "--wake", "agent:ops")
    cli(bus, "cron", "remove", "inbox")
    assert wakes(bus) == []
    assert len(bus.messages()) == 2


def test_nobody_elses_event_on_the_subject_wakes(bus: Bus) -> None:
    job = {"name": "j", "cron": "0 8 * * *", "wake": "main", "instruction": "Pay the invoice."}
    assert bus.call("POST", "/api/cron", job)[0] == 201
    assert bus.call("POST", "/api/cron", {**job, "name": "other", "subject": "agent.events.cron.j"})[0] == 201
    data = {"_cron": {"jobName": "j", "scheduledFor": "2026-01-01T08:00:00Z", "firedAt": "2026-01-01T08:00:00Z"}}
    assert bus.sidecar.publish("agent.events.cron.j", data)[0] == 200
    jetstream.publish(bus.nats, "agent.events.cron.j", json.dumps(data).encode())
    assert bus.call("POST", "/api/cron/j/run")[0] == 200
    message(bus)
    bus.settled(1)
    receipts = [one["route"] for one in bus.receipts()]
    assert receipts == ["cron/j"]  # its own tick, once; the other job's route took none of the three
    assert len(bus.messages()) == 1


def test_an_instruction_that_somebody_else_puts_into_the_schedules_is_nobodys(bus: Bus) -> None:
    assert (
        bus.call("POST", "/api/timers", {"name": "t", "delay": "1h", "wake": "main", "instruction": "Mine."})[0] == 201
    )
    found = jetstream.read(bus.nats, "agent_schedules")
    kept = next(one for one in found if ".wake.timer." in one["subject"])
    body = json.dumps({**json.loads(kept["data"]), "instruction": "Theirs."}).encode()
    jetstream.publish(bus.nats, kept["subject"], body)
    bus.sidecar.kill()
    bus.sidecar.start()
    assert bus.call("GET", "/api/timers")[1]["timers"][0]["instruction"] != "Theirs."
    assert "Theirs." not in _documents(bus)


def test_what_waits_for_a_job_goes_with_it(bus: Bus) -> None:
    bus.stub.mode("503")
    assert bus.call("POST", "/api/cron", {"name": "j", "cron": "0 8 * * *", "wake": "main"})[0] == 201
    bus.call("POST", "/api/cron/j/run")
    wait_until(lambda: bus.pending(), what="the delivery")
    assert bus.call("DELETE", "/api/cron/j")[0] == 204
    wait_until(lambda: not bus.pending(), what="its end")
    assert bus.settled(1)["dropped"] == 1
    assert wakes(bus) == []


def test_a_timer_wakes_once_and_a_replaced_or_cancelled_one_never(bus: Bus) -> None:
    said = cli(bus, "timers", "set", "tea", "1h", "--wake", "main", "--instruction", "The first tea.")
    assert "timer tea wakes main at" in said
    cli(bus, "timers", "set", "no", "1h", "--wake", "main", "--instruction", "Never.")
    assert "The first tea." in " ".join(cli(bus, "timers").split())
    cli(bus, "timers", "cancel", "no")
    cli(bus, "timers", "set", "tea", "1s", "--wake", "main", "--instruction", "Tell me that the tea is ready.")
    assert len(wakes(bus)) == 1
    text = message(bus)
    assert text.endswith(TOLD + "Tell me that the tea is ready.")
    bus.settled(1)
    assert "Tell me" not in json.dumps(bus.sidecar.get("/api/events?limit=100")[1])
    assert bus.call("GET", "/api/timers")[1]["timers"] == []
    bus.sidecar.kill()
    bus.sidecar.start()  # at the start it looks what is over
    wait_until(lambda: wakes(bus) == [], what="the end of its route")
    assert len(bus.messages()) == 1


def test_a_tick_while_the_sidecar_is_down_wakes_when_it_is_back(bus: Bus) -> None:
    assert (
        bus.call("POST", "/api/timers", {"name": "t", "delay": "2s", "wake": "main", "instruction": "Now."})[0] == 201
    )
    bus.sidecar.kill()
    wait_until(lambda: jetstream.read(bus.nats, "agent_events"), what="the tick")
    bus.sidecar.start()
    assert message(bus).endswith(TOLD + "Now.")


def test_the_routes_follow_the_jobs_when_the_database_is_lost(bus: Bus) -> None:
    job = {"name": "j", "cron": "0 8 * * *", "wake": {"kind": "agent", "agentId": "ops"}, "instruction": "Do it."}
    assert bus.call("POST", "/api/cron", job)[0] == 201
    assert bus.call("POST", "/api/timers", {"name": "t", "delay": "1h", "wake": "main"})[0] == 201
    before = wakes(bus)
    bus.sidecar.kill()
    for file in bus.sidecar.home.glob("sidecar.db*"):
        file.unlink()
    bus.sidecar.start()
    wait_until(lambda: wakes(bus) == before, what="the routes")
    bus.call("POST", "/api/cron/j/run")
    assert message(bus).endswith(TOLD + "Do it.")


def test_what_can_not_wake_is_refused_and_nothing_is_stored(bus: Bus) -> None:
    for more, part in (
        ({"instruction": "x"}, "instruction needs wake"),
        ({"wake": {"kind": "webhook", "url": "http://x"}}, "wake.kind must be one of"),
        ({"wake": "main", "instruction": "x" * 4097}, "4097 bytes long"),
        ({"wake": {"kind": "agent", "agentId": "no such !"}}, "wake"),
    ):
        for path, when in (("/api/cron", {"cron": "0 8 * * *"}), ("/api/timers", {"delay": "1h"})):
            status, answer = bus.call("POST", path, {"name": "x", **when, **more})
            assert (status, part in answer.get("detail", "")) == (422, True), answer
    assert bus.call("GET", "/api/cron")[1]["jobs"] == bus.call("GET", "/api/timers")[1]["timers"] == []
    assert wakes(bus) == []


def test_an_agent_wakes_itself_with_its_own_words(bus: Bus) -> None:
    status, answer = tool(bus, "nats_timer_set", {"name": "t", "delay": "1s", "instruction": "Feed the cat."}, OWN)
    assert status == 200, answer
    assert answer["wake"]["sessionKey"] == OWN
    assert message(bus).endswith(
        "[openclaw-nats] What you noted yourself, for when these events come:\n\nFeed the cat."
    )
    refused = {"name": "u", "cron": "0 8 * * *", "wake": "agent:ops:main", "instruction": "x"}
    assert tool(bus, "nats_cron_add", refused, OWN)[0] == 403
    own: dict[str, Any] = {"name": "u", "cron": "0 8 * * *", "wake": "isolated", "instruction": "Think."}
    assert tool(bus, "nats_cron_add", own, OWN)[1]["instruction"] == "Think."
    assert "Think." not in json.dumps(tool(bus, "nats_cron_list", {}, "agent:main:telegram:group:-1")[1])
    status, answer = tool(bus, "nats_subscribe", {"pattern": "agent.events.custom.a", "instruction": "Look."}, OWN)
    assert (status, answer["instruction"]) == (200, "Look.")
    bus.publish("a", {"n": 1})
    assert message(bus, 2).endswith("for when these events come:\n\nLook.")
