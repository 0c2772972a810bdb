"""Budgets in money: what a report costs, whatever it says, and what waits for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from openclaw_nats.inbound.budgets import Budgets, Limit
from openclaw_nats.inbound.costs import MOST, Costs, cost_of, output_of
from openclaw_nats.inbound.purses import Purse
from openclaw_nats.storage.costs import Spent
from openclaw_nats.storage.database import Database

PRICES = {"m": {"input": 2.0, "output": 10.0, "cache_read": 0.5}}
NOW, DAY = 1_000_000.0, 86400.0


@pytest.mark.parametrize(
    ("data", "cost"),
    [
        ({"cost": 0.25}, 0.25),
        ({"cost": 3}, 3.0),
        ({"cost": 0.25, "model": "m", "usage": {"input": 1e6}}, 0.25),
        ({"model": "m", "usage": {"input": 500_000, "output": 100_000, "cacheRead": 200_000}}, 2.1),
        ({"cost": 0, "model": "m", "usage": {"input": 500_000}}, 1.0),
        ({"cost": -4, "model": "m", "usage": {"input": 500_000, "output": -5}}, 1.0),
        ({"cost": "12", "model": "m", "usage": {"input": "500000"}}, 0.0),
        ({"cost": True}, 0.0),
        ({"cost": 10**400}, MOST),
        ({"cost": 1e300}, MOST),
        ({"model": "m", "usage": {"input": 10**400}}, MOST),
        ({"model": "unknown", "usage": {"input": 5}}, 0.0),
        ({"model": ["m"], "usage": [1]}, 0.0),
        ("text", 0.0),
        (None, 0.0),
    ],
)
def test_what_a_report_costs(data: object, cost: float) -> None:
    assert cost_of(output_of(json.dumps(data).encode()), PRICES) == pytest.approx(cost)


@pytest.mark.parametrize("data", [b"", b"{", b'{"cost": NaN}', b'{"cost": 1e400}', b"\xff", b"[" * 100_000])
def test_what_is_no_report_costs_nothing_that_is_not_bounded(data: bytes) -> None:
    assert 0 <= cost_of(output_of(data), PRICES) <= MOST


async def test_models_of_which_nobody_says_what_they_cost_are_named_where_money_is_limited(tmp_path: Path) -> None:
    database = Database(tmp_path / "sidecar.db")
    used = {"input": 5, "output": 1}
    outputs: list[object] = [
        {"model": "m", "usage": used},
        {"model": "paid", "usage": used, "cost": 0.1},
        {"model": "free", "usage": used, "cost": 0},
        {"model": "idle", "usage": {"input": 0}},
        {"model": "odd", "usage": {"input": "many"}},
        {"model": ["x"], "usage": used},
        *({"model": f"z{number:03}" + "x" * 900, "usage": used} for number in range(200)),
        "text",
    ]
    reports = [(str(n), "d", json.dumps(one).encode()) for n, one in enumerate(outputs)]
    for budgets, expected in ((budgets_of(), "turns with free, z000"), (Budgets((), Limit("r", 9, 9), (), 0.1), "")):
        costs = Costs(database, budgets, {**PRICES, "local": {"input": 0.0}}, lambda: None)
        assert costs.note == ""
        await costs.take([("l", "d", json.dumps({"model": "local", "usage": used}).encode())])
        assert costs.note == ""
        await costs.take([*reports, ("e", "d", b"{"), ("f", "d", b"[" * 100_000)])
        assert costs.note.startswith(expected)
        assert len(costs.note) < 600
        if expected:
            assert "and 47 more" in costs.note
    database.close()


def budgets_of(reserve: float = 0.1) -> Budgets:
    budgets = Budgets((), Limit("route", 1000, 3600), (), reserve)
    budgets.purses += [Purse("day", 10.0, DAY), Purse("share", 5.0, DAY, agents=True)]
    budgets.made_by_operator(1, 5)
    budgets.made_by_operator(2, 10)
    budgets.made_by_agent(3)
    return budgets


def test_agents_get_their_share_others_leave_the_reserve_and_the_day_ends() -> None:
    budgets = budgets_of()
    budgets.pay(Spent(NOW, 3, True, 5.5))
    assert budgets.wait(NOW, 3) == (NOW + DAY, "share")
    assert budgets.wait(NOW, 1) == (0.0, "")
    budgets.pay(Spent(NOW + 10, 1, False, 3.5))
    assert budgets.wait(NOW + 10, 1) == (NOW + DAY, "day")  # 9 of 10: the rest is kept
    assert budgets.wait(NOW + 10, 2) == (0.0, "")
    budgets.pay(Spent(NOW + 20, 2, False, 2.0))
    assert budgets.wait(NOW + 20, 2)[1] == "day"
    assert [(one.name, one.used) for one in budgets.cost_report(NOW + 20)] == [("day", 11.0), ("share", 5.5)]
    assert budgets.wait(NOW + DAY, 1) == (0.0, "")


def test_a_routes_own_budget_holds_that_route_alone_and_counts_what_was_before_it() -> None:
    budgets = budgets_of()
    before = [Spent(NOW - 3000, 1, False, 0.3), Spent(NOW - 50, 1, False, 0.3)]
    budgets.history = lambda route_id, seconds: [one for one in before if one.at > NOW - seconds]
    for one in before:
        budgets.pay(one)
    budgets.limit_route(1, 0.5, 3600)
    assert budgets.wait(NOW, 1) == (NOW - 3000 + 3600, "flow.budget")
    assert budgets.wait(NOW, 2) == (0.0, "")
    budgets.limit_route(1, 0.5, 3600)  # the same again, as when another field of the route is changed
    assert [(one.route_id, one.used) for one in budgets.cost_report(NOW)][2:] == [(1, 0.6)]
    budgets.limit_route(1, 0.5, 60)
    assert budgets.wait(NOW, 1) == (0.0, "")
    assert len(budgets.cost_report(NOW)) == 2  # not nearly spent
    budgets.pay(Spent(NOW, 1, False, 0.1))
    assert [one.free_at for one in budgets.cost_report(NOW)][2:] == [0.0]
    budgets.pay(Spent(NOW, 2, False, 9.0))
    assert budgets.wait(NOW, 2) == (0.0, "")  # urgent: the reserve of the day is its own
    budgets.pay(Spent(NOW, 1, False, 0.1))
    assert budgets.wait(NOW, 1)[1] == "day"  # which ends later than the route's own
    budgets.limit_route(1, 0.0, 0.0)
    assert len(budgets.cost_report(NOW)) == 2


def test_a_clock_that_was_ahead_holds_nothing_longer_than_a_day() -> None:
    budgets = budgets_of()
    budgets.pay(Spent(NOW + 30 * DAY, 1, False, 20.0))
    budgets.clock_put_back(NOW)
    assert budgets.wait(NOW, 1) == (NOW + DAY, "day")


async def test_a_report_counts_once_for_the_route_of_its_dispatch_also_after_a_restart(tmp_path: Path) -> None:
    database = Database(tmp_path / "sidecar.db")
    insert = (
        "INSERT INTO dispatches (id, route_id, route, target, body, events, priority, hops, position, state, "
        "created_at, changed_at) VALUES ('d', 1, 'r', '{}', '', 1, 5, 0, 1, 'sending', 0, 0)"
    )
    database.now(lambda db: db.execute(insert))
    changes: list[int] = []
    budgets = budgets_of()
    costs = Costs(database, budgets, PRICES, lambda: changes.append(1), clock=lambda: NOW)
    await costs.take([("e1", "d", b'{"cost": 2}'), ("e2", "nobody's", b'{"cost": 7}'), ("e3", "d", b'{"cost": "7"}')])
    await costs.take([("e1", "d", b'{"cost": 2}')])
    assert budgets.cost_report(NOW)[0].used == 2.0
    assert changes == [1]
    again = budgets_of()
    Costs(database, again, PRICES, lambda: None, clock=lambda: NOW + 60)
    assert again.cost_report(NOW + 60)[0].used == 2.0
    database.close()
