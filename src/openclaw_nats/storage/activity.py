"""Events a minute and turns, for the dashboard's plots."""

from __future__ import annotations

import sqlite3

from openclaw_nats.storage.listed import Filters, ListedChange


def record(db: sqlite3.Connection, minute: int, events: int, forget_before: int) -> None:
    """So many events were stored in that minute; minutes before `forget_before` are no longer needed."""
    sql = "INSERT INTO activity VALUES (?, ?) ON CONFLICT (minute) DO UPDATE SET events = events + excluded.events"
    db.execute(sql, (minute, events))
    db.execute("DELETE FROM activity WHERE minute < ?", (forget_before,))


def minutes(db: sqlite3.Connection, since: int) -> dict[int, int]:
    """Events by minute, from minute `since` on; minutes in which nobody counted are missing."""
    return {row[0]: row[1] for row in db.execute("SELECT minute, events FROM activity WHERE minute >= ?", (since,))}


def turns(db: sqlite3.Connection, since: float) -> list[float]:
    """When agent turns were asked for, from that time on, oldest first."""
    return [row[0] for row in db.execute("SELECT at FROM turns WHERE at >= ? ORDER BY at", (since,))]


def changes(db: sqlite3.Connection, filters: Filters, cursor: int | None, limit: int) -> list[ListedChange]:
    """Changes of deliveries into one of the states, newest first, before number `cursor`; by route, search and time."""
    tests = {
        "route": "deliveries.route = ?",
        "since": "changes.at >= ?",
        "until": "changes.at <= ?",
        "search": "(instr(lower(deliveries.subject || ' ' || changes.reason || ' ' || deliveries.event_id), lower(?)))",
    }
    given = {name: getattr(filters, name) for name in tests if getattr(filters, name) is not None}
    where = [test for name, test in tests.items() if name in given]
    values: list[str | float] = list(given.values())
    if filters.states:
        where.append(f"changes.state IN ({','.join('?' * len(filters.states))})")
        values += filters.states
    if cursor is not None:
        where.append("changes.rowid < ?")
        values.append(cursor)
    sql = (
        "SELECT changes.rowid AS number, changes.at, changes.state, changes.reason, deliveries.id AS delivery, "  # noqa: S608
        "deliveries.route, deliveries.subject, deliveries.event_id AS event, deliveries.dispatch_id AS dispatch "
        "FROM changes JOIN deliveries ON deliveries.id = changes.delivery_id "
        f"{'WHERE ' + ' AND '.join(where) if where else ''} ORDER BY changes.rowid DESC LIMIT ?"
    )
    return [ListedChange(**dict(row)) for row in db.execute(sql, (*values, limit))]


def by_subject(db: sqlite3.Connection) -> dict[str, dict[str, int]]:
    """How many deliveries of each subject there are, by state."""
    found: dict[str, dict[str, int]] = {}
    for row in db.execute("SELECT subject, state, count(*) FROM deliveries GROUP BY subject, state"):
        found.setdefault(row[0], {})[row[1]] = row[2]
    return found
