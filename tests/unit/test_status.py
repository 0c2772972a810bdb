"""What `status` and `doctor` say of budgets."""

from __future__ import annotations

import pytest

from openclaw_nats.cli.status import guard_text
from openclaw_nats.doctor import journeys
from openclaw_nats.health.delivery_text import spent_budgets


def test_a_budget_that_is_spent_says_whose_and_until_when() -> None:
    budgets = [
        {"name": "budget.turns_per_hour", "limit": 60, "used": 60, "freeAt": 1795720000.0},
        {"name": "budget.turns_per_day", "limit": 500, "used": 60, "freeAt": 0.0},
        {"name": "budget.route_turns_per_hour", "limit": 30, "used": 30, "freeAt": 1795720030.0, "routeId": 1},
        {"name": "budget.route_turns_per_hour", "limit": 30, "used": 30, "freeAt": 1795720010.0, "routeId": 2},
    ]
    first, second = spent_budgets(budgets)
    assert first.startswith("budget.turns_per_hour (60) is spent: events wait, until 2026-11-26T")
    assert second.startswith("budget.route_turns_per_hour (30) is spent by 2 routes: events wait, until 2026-11-26T")
    assert ":06:50" in second


def test_doctor_says_why_events_wait_for_a_budget() -> None:
    turns = {"name": "budget.turns_per_hour", "limit": 60, "used": 60, "freeAt": 1795720000.0}
    money = {"name": "budget.cost_per_day", "limit": 5.0, "used": 4.5, "freeAt": 0.0}
    found = list(journeys.way_to_agents({"way": "plugin", "budgets": [turns], "costBudgets": [money]}))
    assert [(one.check, one.state) for one in found] == [("delivery", "ok"), ("budget", "note"), ("budget", "note")]
    assert found[1].text.startswith("budget.turns_per_hour (60) is spent: events wait, until 2026-11-26T")
    assert found[2].text == "budget.cost_per_day: 4.50 of 5.00 is spent"
    free = {**turns, "freeAt": 0.0}
    assert len(list(journeys.way_to_agents({"way": "plugin", "budgets": [free], "costBudgets": []}))) == 1


@pytest.mark.parametrize(
    ("turns_by", "asks", "words"),
    [
        ("run", True, ("knows a turn by its run", "OpenClaw asks you")),
        ("run", False, ("knows a turn by its run", "can't ask you: calls are refused")),
        ("session", False, ("judges all turns of a guarded turn's session", "waits (`openclaw-nats approvals`)")),
    ],
)
def test_status_says_what_the_guard_can_do_on_this_gateway(turns_by: str, asks: bool, words: tuple[str, str]) -> None:
    said = guard_text({"turnsBy": turns_by, "asks": asks})
    assert all(word in said for word in words)
