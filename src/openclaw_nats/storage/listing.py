"""What the API lists: deliveries, receipts, counts. Reading only."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from openclaw_nats.storage.rows import ENDED, OPEN

_DELIVERY = (
    "id, event_id, route_id, route, subject, session, flow_key, state, reason, priority, hops, stored_at, arrived_at, "
    "changed_at, dispatch_id, (SELECT due_at FROM dispatches WHERE id = dispatch_id AND state = 'failed') AS until"
)

_SEARCH = (
    "(instr(lower(route || ' ' || subject || ' ' || session || ' ' || event_id || ' ' || reason), lower(?)) OR EXISTS "
    "(SELECT 1 FROM events WHERE events.place = deliveries.place AND instr(lower(CAST(document AS TEXT)), lower(?))) "
    "OR EXISTS "
    "(SELECT 1 FROM dispatches WHERE dispatches.id = deliveries.dispatch_id AND instr(lower(body), lower(?))))"
)


def deliveries(db: sqlite3.Connection, filters: dict[str, Any], cursor: int | None, limit: int) -> list[dict[str, Any]]:
    """Deliveries, newest first, before number `cursor`. Filters: states, route, subject, session, event, search, …"""
    where, values = _where(filters)
    if cursor is not None:
        where.append("id < ?")
        values.append(cursor)
    sql = f"SELECT {_DELIVERY} FROM deliveries WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?"  # noqa: S608
    return [dict(row) for row in db.execute(sql, (*values, limit))]


def total(db: sqlite3.Connection, filters: dict[str, Any]) -> int:
    """How many deliveries the filters let through."""
    where, values = _where(filters)
    return int(db.execute(f"SELECT count(*) FROM deliveries WHERE {' AND '.join(where)}", values).fetchone()[0])  # noqa: S608


def delivery(db: sqlite3.Connection, number: int) -> dict[str, Any] | None:
    """One delivery with its event, its history and its dispatch; None when there is no such number.

    `document` is None when the event's content has gone from the inbox; the stream may have it at `sequence`, if the
    message there is the event's `place`.
    """
    row = db.execute(f"SELECT {_DELIVERY}, place, sequence FROM deliveries WHERE id = ?", (number,)).fetchone()  # noqa: S608
    if row is None:
        return None
    found = dict(row)
    document = db.execute(
        "SELECT document FROM events JOIN deliveries USING (place) WHERE deliveries.id = ?", (number,)
    ).fetchone()
    found["document"] = document[0] if document else None
    changes = db.execute("SELECT at, state, reason FROM changes WHERE delivery_id = ? ORDER BY rowid", (number,))
    found["changes"] = [dict(one) for one in changes]
    found["dispatch"] = receipt(db, row["dispatch_id"]) if row["dispatch_id"] else None
    return found


def of_events(db: sqlite3.Connection, ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """For each event id (at most 500) what became of it: id, route and state of its deliveries.

    Publishers may have used one id for several events: then those of all of them.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    marks = ",".join("?" * len(ids))
    sql = f"SELECT event_id, id, route, state FROM deliveries WHERE event_id IN ({marks}) ORDER BY id"  # noqa: S608
    for row in db.execute(sql, list(ids)):
        found.setdefault(row["event_id"], []).append({"id": row["id"], "route": row["route"], "state": row["state"]})
    return found


def numbers(db: sqlite3.Connection, filters: dict[str, Any], limit: int) -> list[int]:
    """The numbers of the deliveries that the filters let through, oldest first."""
    where, values = _where(filters)
    sql = f"SELECT id FROM deliveries WHERE {' AND '.join(where)} ORDER BY id LIMIT ?"  # noqa: S608
    return [row[0] for row in db.execute(sql, (*values, limit))]


def route_of(db: sqlite3.Connection, number: int) -> int:
    """The number of a delivery's route; 0 when there is no such delivery."""
    row = db.execute("SELECT route_id FROM deliveries WHERE id = ?", (number,)).fetchone()
    return int(row[0]) if row else 0


def receipts(db: sqlite3.Connection, filters: dict[str, Any], cursor: str | None, limit: int) -> list[dict[str, Any]]:
    """Delivered dispatches, newest first, before id `cursor`. Filters: route, since, until."""
    where, values = ["state = 'delivered'"], []
    for name, test in (("route", "route = ?"), ("since", "changed_at >= ?"), ("until", "changed_at <= ?")):
        if filters.get(name) is not None:
            where.append(test)
            values.append(filters[name])
    if cursor is not None:
        where.append("id < ?")
        values.append(cursor)
    sql = f"SELECT * FROM dispatches WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?"  # noqa: S608
    return [dict(row) for row in db.execute(sql, (*values, limit))]


def receipt(db: sqlite3.Connection, dispatch_id: str) -> dict[str, Any] | None:
    """One dispatch with the numbers and ids of what it carried, and its history."""
    row = db.execute("SELECT * FROM dispatches WHERE id = ?", (dispatch_id,)).fetchone()
    if row is None:
        return None
    carried = db.execute(
        "SELECT id, event_id, subject, place, sequence FROM deliveries WHERE dispatch_id = ? ORDER BY id",
        (dispatch_id,),
    )
    found = [dict(one) for one in carried]
    sql = "SELECT at, state, reason FROM changes WHERE delivery_id = ? ORDER BY rowid"
    changes = db.execute(sql, (found[0]["id"],)).fetchall() if found else []
    return {**dict(row), "deliveries": found, "changes": [dict(one) for one in changes]}


def receipts_like(db: sqlite3.Connection, beginning: str) -> list[str]:
    """The ids that begin so: at most 3."""
    sql = "SELECT id FROM dispatches WHERE id >= ? AND id < ? ORDER BY id LIMIT 3"
    return [row[0] for row in db.execute(sql, (beginning, beginning + "\uffff"))]


def counts(db: sqlite3.Connection, route_id: int | None = None) -> dict[int, dict[str, Any]]:
    """For each route (or one) the number of deliveries by state, `dispatches` that were sent, their `runs`, and
    `oldest`: when the oldest delivery that is under way came (seconds since the Unix epoch).
    """
    found: dict[int, dict[str, Any]] = {}
    where, values = ("", ()) if route_id is None else (" WHERE route_id = ?", (route_id,))
    by_state = f"SELECT route_id, state, count(*) FROM deliveries{where} GROUP BY route_id, state"  # noqa: S608
    for row in db.execute(by_state, values):
        found.setdefault(row[0], {})[row[1]] = row[2]
    sent = f"SELECT route_id, count(*), sum(runs) FROM dispatches{where} GROUP BY route_id"  # noqa: S608
    for row in db.execute(sent, values):
        found.setdefault(row[0], {}).update(dispatches=row[1], runs=row[2])
    states = f"state IN ({','.join('?' * len(OPEN))})"
    open_ones = f"{where} AND {states}" if where else f" WHERE {states}"
    oldest = f"SELECT route_id, min(arrived_at) FROM deliveries{open_ones} GROUP BY route_id"  # noqa: S608
    for row in db.execute(oldest, (*values, *OPEN)):
        found.setdefault(row[0], {})["oldest"] = row[1]
    return found


def states(db: sqlite3.Connection) -> dict[str, int]:
    """The number of deliveries in each state."""
    found = {state: 0 for state in OPEN + ENDED}
    found |= {row[0]: row[1] for row in db.execute("SELECT state, count(*) FROM deliveries GROUP BY state")}
    return found


def _where(filters: dict[str, Any]) -> tuple[list[str], list[Any]]:
    states = filters["states"]
    where, values = [f"state IN ({','.join('?' * len(states))})"], list(states)
    tests = {
        "route": "route = ?",
        "subject": "on_pattern(?, subject)" if {"*", ">"} & set(str(filters.get("subject"))) else "subject = ?",
        "session": "session = ?",
        "since": "changed_at >= ?",
        "until": "changed_at <= ?",
        "event": "event_id = ?",
        "search": _SEARCH,
    }
    for name, test in tests.items():
        if filters.get(name) is not None:
            where.append(test)
            values += [filters[name]] * test.count("?")
    return where, values
