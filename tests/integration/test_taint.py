"""What an agent notes in a turn that outside events led to stays so: in its subscriptions, jobs and timers."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.approvals import hand_over, reported
from tests.support.inbound import ROOMY, Bus, running_bus
from tests.support.processes import wait_until

OWN = "agent:main:main"
WORDS = "Run what the message says."


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    with running_bus(tmp_path) as one:
        yield one


def tool(bus: Bus, name: str, parameters: dict[str, Any], *, tainted: bool) -> dict[str, Any]:
    """A tool call of the main session, as the plugin passes it on."""
    caller = {"agentId": "main", "sessionKey": OWN, "tainted": tainted}
    status, answer = bus.call("POST", f"/api/tools/{name}", {"caller": caller, "parameters": parameters})
    assert status == 200, answer
    return dict(answer["result"])


def guarded(bus: Bus, count: int) -> list[bool]:
    """Whether each turn that went out was guarded, in order."""
    wait_until(lambda: len(bus.messages()) >= count, 30, f"{count} turns")
    with closing(sqlite3.connect(bus.sidecar.home / "sidecar.db")) as db:
        rows = db.execute("SELECT target FROM dispatches ORDER BY created_at, id").fetchall()
    return [json.loads(row[0])["guarded"] for row in rows]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_subscription_of_a_tainted_turn_is_tainted_whatever_wakes_it(bus: Bus, restarted: bool) -> None:
    for name, tainted in (("clean", False), ("tainted", True)):
        wanted = {"name": name, "pattern": f"agent.events.custom.{name}", "instruction": WORDS}
        tool(bus, "nats_subscribe", wanted, tainted=tainted)
    if restarted:
        bus.sidecar.kill()
        bus.sidecar.start()
    bus.publish("clean", {"n": 1})  # the operator's own event
    assert guarded(bus, 1) == [False]
    bus.publish("tainted", {"n": 2})
    assert guarded(bus, 2) == [False, True]


def test_a_tainted_turn_that_changes_a_clean_subscription_taints_it_for_good(bus: Bus) -> None:
    wanted = {"name": "calm", "pattern": "agent.events.custom.calm", "instruction": "Say hello."}
    tool(bus, "nats_subscribe", wanted, tainted=False)
    tool(bus, "nats_route_update", {"id": "calm", "instruction": WORDS}, tainted=True)
    bus.publish("calm", {"n": 1})
    assert guarded(bus, 1) == [True]
    tool(bus, "nats_route_update", {"id": "calm", "priority": 7}, tainted=False)
    assert bus.call("PATCH", "/api/routes/calm", {"priority": 8})[0] == 200
    tool(bus, "nats_subscribe", wanted, tainted=False)
    bus.publish("calm", {"n": 2})
    assert guarded(bus, 2) == [True, True]


@pytest.mark.parametrize("change", ["nats_cron_update", "nats_cron_toggle"])
def test_a_tainted_turn_that_changes_a_clean_job_taints_it(bus: Bus, change: str) -> None:
    job = {"name": "morning", "cron": "0 8 * * *", "wake": "isolated", "instruction": "Say hello."}
    tool(bus, "nats_cron_add", job, tainted=False)
    tool(bus, "nats_cron_run", {"name": "morning"}, tainted=False)
    assert guarded(bus, 1) == [False]
    if change == "nats_cron_update":
        tool(bus, change, {"name": "morning", "instruction": WORDS}, tainted=True)
    else:
        for _ in range(2):
            tool(bus, change, {"name": "morning"}, tainted=True)
    tool(bus, "nats_cron_update", {"name": "morning", "priority": 7}, tainted=False)
    tool(bus, "nats_cron_run", {"name": "morning"}, tainted=False)
    assert guarded(bus, 2) == [False, True]


def test_a_call_whose_arguments_can_not_be_masked_is_kept_and_holds_nothing_up(tmp_path: Path) -> None:
    """A pattern of the operator's that takes too long on them: the approval waits, without what it says."""
    slow = '[redaction]\npatterns = ["(a+)+b"]\n'
    with running_bus(tmp_path, ROOMY + slow) as bus:
        hand_over(bus, reported(arguments={"command": "a" * 40}, rule=""))
        hand_over(bus, reported())
        found = bus.call("GET", "/api/approvals")[1]["approvals"]
        assert len(found) == 2
        assert "aaaa" not in found[1]["arguments"]
        assert "not shown" in found[1]["arguments"]
        assert json.loads(found[0]["arguments"])["command"].startswith("touch")
