"""A budget in money, with a sidecar: the plugin's reports count for the route whose turn it was, then events wait."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.inbound import Bus, running_bus
from tests.support.processes import event, wait_until

CONFIG = """[budget]
cost_per_day = 1.0
reserve = 0.0
prices = [{ model = "m", input = 2.0 }]
"""


def report(bus: Bus, number: str, dispatch: str, **data: Any) -> None:
    one = event(number, "agent.events.llm.output", causationid=dispatch, data=data)
    assert bus.sidecar.post_events([one])[0] == 200


def told(bus: Bus, what: str) -> list[dict[str, Any]]:
    return [one for one in bus.sidecar.events() if one["subject"] == f"agent.events.bus.{what}"]


def test_turns_wait_when_the_day_has_cost_enough_and_a_restart_is_no_way_around_it(tmp_path: Path) -> None:
    with running_bus(tmp_path, CONFIG) as bus:
        bus.route("a", "agent.events.custom.a", "main")
        bus.publish("a", "first")
        dispatch = wait_until(bus.receipts, what="a turn")[0]["id"]
        report(bus, "c1", "no dispatch of ours", cost=50)
        report(bus, "c2", dispatch, model="m", usage={"input": 400_000})
        report(bus, "c2", dispatch, model="m", usage={"input": 400_000})
        wait_until(lambda: told(bus, "budget_warning"), what="the warning at 80 %")
        warning = told(bus, "budget_warning")[0]["data"]
        assert (warning["budget"], warning["limit"], warning["used"]) == ("budget.cost_per_day", 1.0, 0.8)
        bus.publish("a", "second")
        wait_until(lambda: len(bus.receipts()) == 2, what="there is something left")
        report(bus, "c3", dispatch, cost=0.2)
        bus.publish("a", "third")
        wait_until(lambda: [one for one in bus.pending() if "is spent" in one["reason"]], what="it waits")
        assert bus.pending()[0]["reason"] == "budget.cost_per_day is spent"
        assert bus.pending()[0]["until"]
        wait_until(lambda: told(bus, "budget_reached"), what="the notice")
        bus.sidecar.kill()
        bus.sidecar.start()
        wait_until(lambda: bus.health()["costBudgets"], what="the report")
        assert [one["used"] for one in bus.health()["costBudgets"] if not one.get("agents")] == [1.0]
        assert bus.pending()[0]["reason"] == "budget.cost_per_day is spent"
