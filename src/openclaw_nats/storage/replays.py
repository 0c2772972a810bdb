"""Replays, as rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, fields

from openclaw_nats.storage import inbox
from openclaw_nats.storage.rows import NewDelivery
from openclaw_nats.storage.space import FORGOTTEN

KEPT = 200


@dataclass(slots=True)
class ReplayRow:
    """A replay. `which` events, at most `most`; with a rate `rate_count` of them in `rate_per` seconds (0: no rate)."""

    id: int
    route_id: int
    route: str
    since: float
    until: float
    which: str
    most: int
    rate_count: int
    rate_per: float
    also_webhooks: bool
    made_by: str
    began_at: float
    state: str = "running"
    reason: str = ""
    position: int = 0
    next_at: float = 0.0
    made: int = 0
    gone: int = 0
    ended_at: float = 0.0


_FIELDS = tuple(one.name for one in fields(ReplayRow))
_GIVEN = _FIELDS[1:12]


def add(db: sqlite3.Connection, row: ReplayRow) -> int:
    """Keep a new replay; its number. Of those that have ended the newest KEPT stay."""
    marks = ", ".join("?" * len(_GIVEN))
    sql = f"INSERT INTO replays ({', '.join(_GIVEN)}) VALUES ({marks}) RETURNING id"  # noqa: S608  (our own text)
    number = int(db.execute(sql, [getattr(row, name) for name in _GIVEN]).fetchone()[0])
    db.execute("DELETE FROM replays WHERE state <> 'running' AND id <= ?", (number - KEPT,))
    return number


def every(db: sqlite3.Connection) -> list[ReplayRow]:
    """All of them, newest first."""
    return _rows(db, "1")


def running(db: sqlite3.Connection) -> list[ReplayRow]:
    """Those that go on."""
    return _rows(db, "state = 'running'")


def one(db: sqlite3.Connection, number: int) -> ReplayRow | None:
    """One of them."""
    return next(iter(_rows(db, "id = ?", (number,))), None)


def advance(
    db: sqlite3.Connection, row: ReplayRow, made: Sequence[NewDelivery], after: ReplayRow, now: float
) -> list[int | None] | None:
    """Insert what a replay makes and keep how far it is then; None, and nothing is kept, when it goes on no more."""
    done = db.execute(
        "UPDATE replays SET position = ?, next_at = ?, made = ?, gone = ?, state = ?, ended_at = ? "
        "WHERE id = ? AND state = 'running' AND position = ?",
        (after.position, after.next_at, after.made, after.gone, after.state, after.ended_at, row.id, row.position),
    ).rowcount
    return inbox.add(db, made, now) if done else None


def stop(db: sqlite3.Connection, number: int, reason: str, now: float) -> list[int] | None:
    """End a replay and drop what waits of it; the numbers of those. None when it does not run and nothing waits."""
    ended = db.execute(
        "UPDATE replays SET state = 'stopped', reason = ?, ended_at = ? WHERE id = ? AND state = 'running'",
        (reason, now, number),
    ).rowcount
    waiting = [
        row[0] for row in db.execute("SELECT id FROM deliveries WHERE replay = ? AND state = 'pending'", (number,))
    ]
    dropped = inbox.end(db, waiting, "dropped", "its replay was stopped", now)
    return dropped if ended or dropped else None


def counts(db: sqlite3.Connection, number: int) -> dict[str, int]:
    """How many deliveries of a replay there are in each state."""
    sql = "SELECT state, count(*) FROM deliveries WHERE replay = ? GROUP BY state"
    return {row[0]: row[1] for row in db.execute(sql, (number,))}


def forgotten(db: sqlite3.Connection) -> int:
    """The sequence up to which it is not known of every event what became of it."""
    return int(inbox.fact(db, FORGOTTEN) or 0)


def left(db: sqlite3.Connection, row: ReplayRow, states: Sequence[str], upto: int, met: Sequence[str]) -> int:
    """How many of a route's deliveries in these states, behind the replay's position, up to a sequence and in its time,
    are of other events than those that were `met` (at most 500): their events have left the stream.
    """
    marks = ",".join("?" * len(states))
    where = (
        "route_id = ? AND replay = 0 AND sequence > ? AND sequence <= ? AND stored_at >= ? AND stored_at < ? "
        f"AND state IN ({marks})"
    )
    values = (row.route_id, row.position, upto, row.since, row.until, *states)
    total = db.execute(f"SELECT count(*) FROM deliveries WHERE {where}", values).fetchone()[0]  # noqa: S608
    places = ",".join("?" * len(met))
    sql = f"SELECT count(*) FROM deliveries WHERE {where} AND place IN ({places})"  # noqa: S608  (marks only)
    return int(total - db.execute(sql, (*values, *met)).fetchone()[0])


def _rows(db: sqlite3.Connection, where: str, values: Sequence[object] = ()) -> list[ReplayRow]:
    sql = f"SELECT {', '.join(_FIELDS)} FROM replays WHERE {where} ORDER BY id DESC"  # noqa: S608  (our own text)
    return [ReplayRow(**{**dict(row), "also_webhooks": bool(row["also_webhooks"])}) for row in db.execute(sql, values)]
