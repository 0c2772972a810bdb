"""A budget in money, with a sidecar: the plugin's reports count for the route whose turn it was, then events wait."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.inbound import Bus, running_bus
from tests.support.processes import event, wait_until

CONFIG = """[budget]
cost_per_day = 1.0
reserve = 0.0
prices = [{ model = "m", input = 2.0 }]
"""


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    with running_bus(tmp_path_factory.mktemp("costs")) as one:
        yield one


def cli(bus: Bus, *arguments: str, code: int | None = 0) -> str:
    """What a command said; `code` None takes any."""
    done = bus.sidecar.command(*arguments)
    assert code in (None, done.returncode), done.stdout + done.stderr
    return done.stderr if code else done.stdout


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


def test_a_route_with_a_budget_of_its_own_waits_alone_and_its_costs_outlive_edits_and_restarts(tmp_path: Path) -> None:
    with running_bus(tmp_path) as bus:
        bus.route("a", "agent.events.custom.a", "main")
        bus.route("b", "agent.events.custom.b", "main")
        bus.publish("a", "first")
        dispatch = wait_until(bus.receipts, what="a turn")[0]["id"]
        report(bus, "c1", dispatch, cost=0.5)
        cli(bus, "routes", "edit", "a", "--budget", "0.6/2d")
        shown = bus.call("GET", "/api/routes/a")[1]
        assert shown["flow"]["budget"] == {"cost": 0.6, "per": "2d"}
        wait_until(lambda: told(bus, "budget_warning"), what="the warning: what was spent before counts")
        assert told(bus, "budget_warning")[0]["data"] == {
            "budget": "flow.budget",
            "route": "a",
            "limit": 0.6,
            "used": 0.5,
        }
        report(bus, "c2", dispatch, cost=0.25)
        bus.publish("a", "second")
        bus.publish("b", "of another route")
        wait_until(lambda: len(bus.receipts()) == 2, what="b goes")
        wait_until(lambda: [one["reason"] for one in bus.pending()] == ["flow.budget is spent"], what="a waits")
        assert len(bus.receipts()) == 2
        # The report is made each second.
        wait_until(lambda: [one["used"] for one in bus.health()["costBudgets"]] == [0.75], what="the report")
        said = cli(bus, "status", code=None)
        assert "flow.budget of route a: 0.75 of 0.60 is spent: events wait" in " ".join(said.split())
        bus.sidecar.kill()
        bus.sidecar.start()
        wait_until(lambda: bus.health().get("costBudgets"), what="the report")
        assert bus.pending()[0]["reason"] == "flow.budget is spent"
        wait_until(lambda: told(bus, "budget_reached"), what="the notice")
        cli(bus, "routes", "edit", "a", "--budget", "")
        wait_until(lambda: len(bus.receipts()) == 3, what="without a budget it goes out")


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ("0.5", "write it like 0.50/1d"),
        ("x/1d", "is not an amount"),
        ("-1/1d", "is not an amount"),
        ("0/1d", "--budget (cost)"),
        ("1/10s", "--budget (per) must be 1m to 31d"),
        ("1/40d", "--budget (per) must be 1m to 31d"),
        ("1/soon", "--budget (per) must be"),
    ],
)
def test_budgets_that_are_none_are_refused_with_the_flag(bus: Bus, budget: str, words: str) -> None:
    error = cli(bus, "routes", "add", "r", "agent.events.custom.r", "main", "--budget", budget, code=2)
    assert words in " ".join(error.split())


def test_a_webhook_has_no_turns_to_pay(bus: Bus) -> None:
    target = {"kind": "webhook", "url": "http://127.0.0.1:9/x"}
    document = {"name": "r", "pattern": "agent.events.custom.r", "target": target}
    status, answer = bus.call("POST", "/api/routes", document | {"flow": {"budget": {"cost": 1, "per": "1d"}}})
    assert (status, answer["field"]) == (422, "flow.budget")
