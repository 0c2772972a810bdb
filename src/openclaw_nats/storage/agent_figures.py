"""What agents have done for the bus lately, from dispatches, costs and deliveries. Reading only."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

# Targets are JSON that another version may have written.
_TARGET = "CASE WHEN json_valid(target) THEN json_extract(target, '$.{}') END"
_WHO = (
    f"{_TARGET.format('kind')} AS kind, {_TARGET.format('agentId')} AS agent, {_TARGET.format('sessionKey')} AS session"
)
_TURNS = f"""
SELECT {_WHO}, sum(CASE WHEN created_at >= :today THEN runs ELSE 0 END) AS turns, max(state = 'sending') AS busy
FROM dispatches WHERE created_at >= :since OR state = 'sending' GROUP BY kind, agent, session"""  # noqa: S608  (ours)
_RESULTS = f"""
SELECT {_WHO}, route, state, outcome, max(changed_at) AS at FROM dispatches
WHERE created_at >= :since AND state IN ('delivered', 'dead') GROUP BY kind, agent, session"""  # noqa: S608  (ours)


@dataclass(frozen=True, slots=True)
class Whose:
    """A target as its dispatch has it: the agent may be named by its session only."""

    kind: str
    agent: str
    session: str


@dataclass(frozen=True, slots=True)
class Result:
    """How the newest dispatch to a target ended, when (seconds since the Unix epoch), and for which route."""

    state: str
    outcome: str
    route: str
    at: float


@dataclass
class Figures:
    """By target: turns since midnight, whether one runs, the newest result. By route: what waits, what was spent."""

    turns: dict[Whose, int]
    busy: set[Whose]
    results: dict[Whose, Result]
    waiting: dict[int, int]
    costs: dict[int, float]


def figures(db: sqlite3.Connection, today: float, since: float) -> Figures:
    """Everything at once; `today` and `since` (for results) are seconds since the Unix epoch."""
    times = {"today": today, "since": min(today, since)}
    turns, busy, results = {}, set(), {}
    for row in db.execute(_TURNS, times):
        turns[_whose(row)] = int(row["turns"])
        if row["busy"]:
            busy.add(_whose(row))
    for row in db.execute(_RESULTS, times):
        results[_whose(row)] = Result(row["state"], row["outcome"], row["route"], row["at"])
    waiting = "SELECT route_id, count(*) FROM deliveries WHERE state IN ('pending', 'failed') GROUP BY route_id"
    costs = "SELECT route_id, sum(cost) FROM costs WHERE at >= ? GROUP BY route_id"
    return Figures(turns, busy, results, dict(db.execute(waiting)), dict(db.execute(costs, (today,))))


def _whose(row: sqlite3.Row) -> Whose:
    return Whose(str(row["kind"] or ""), str(row["agent"] or ""), str(row["session"] or ""))
