"""What turns have cost, as rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

_ADD = """
INSERT INTO costs (event, at, route_id, agents, cost)
SELECT :event, :at, route_id,
    EXISTS (SELECT 1 FROM routes WHERE routes.id = dispatches.route_id AND made_by LIKE 'agent:%'), :cost
FROM dispatches WHERE id = :dispatch
ON CONFLICT DO NOTHING RETURNING at, route_id, agents, cost"""

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Spent:
    """What one report has cost, and for which route."""

    at: float
    route_id: int
    agents: bool
    cost: float


@dataclass(frozen=True, slots=True)
class Reported:
    """A report: the message id of its event, the dispatch whose turn it is about, the cost."""

    event: str
    dispatch: str
    cost: float


def add(db: sqlite3.Connection, reports: Sequence[Reported], now: float) -> list[Spent]:
    """Count reports of turns that a dispatch has led to; those that are new."""
    found = []
    for one in reports:
        values = {"event": one.event, "dispatch": one.dispatch, "cost": one.cost, "at": now}
        row = db.execute(_ADD, values).fetchone()
        if row is not None:
            found.append(Spent(row[0], row[1], bool(row[2]), row[3]))
    return found


def since(db: sqlite3.Connection, at: float) -> list[Spent]:
    """Everything since then, oldest first."""
    rows = db.execute("SELECT at, route_id, agents, cost FROM costs WHERE at >= ? ORDER BY at", (at,))
    return [Spent(row[0], row[1], bool(row[2]), row[3]) for row in rows]


def of_route(db: sqlite3.Connection, route_id: int, at: float) -> list[Spent]:
    """Everything that a route's turns have cost since then, oldest first."""
    rows = db.execute(
        "SELECT at, route_id, agents, cost FROM costs WHERE route_id = ? AND at >= ? ORDER BY at", (route_id, at)
    )
    return [Spent(row[0], row[1], bool(row[2]), row[3]) for row in rows]


def forget(db: sqlite3.Connection, before: float) -> None:
    """Forget what no budget counts any more."""
    db.execute("DELETE FROM costs WHERE at < ?", (before,))


@dataclass(frozen=True, slots=True)
class Avoided:
    """How many turns of a route were not needed, because events went out together."""

    route: str
    turns: int


_AVOIDED = """
SELECT route, sum(events - 1) AS turns FROM dispatches
WHERE created_at >= ? AND state = 'delivered' AND events > 1
    AND json_valid(target) AND json_extract(target, '$.kind') IN ('session', 'agent', 'wake')
GROUP BY route"""


def avoided(db: sqlite3.Connection, since: float) -> list[Avoided]:
    """What each route's turns that were delivered have absorbed, of dispatches since then."""
    return [Avoided(row[0], row[1]) for row in db.execute(_AVOIDED, (since,))]


def routes_of(db: sqlite3.Connection, dispatches: Sequence[str]) -> dict[str, str]:
    """The name of each dispatch's route; those that are not known are left out."""
    found: dict[str, str] = {}
    for begin in range(0, len(dispatches), _CHUNK):
        part = dispatches[begin : begin + _CHUNK]
        marks = ",".join("?" * len(part))
        found |= dict(db.execute(f"SELECT id, route FROM dispatches WHERE id IN ({marks})", part))  # noqa: S608
    return found
