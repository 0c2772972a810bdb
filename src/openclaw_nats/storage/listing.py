"""What the API lists: deliveries, receipts, counts. Reading only."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence

from openclaw_nats.contract.deliveries import DeliveryRef, WokenBy
from openclaw_nats.storage.listed import (
    Carried,
    Change,
    DeliveryDetail,
    Filters,
    ListedDelivery,
    ListedDispatch,
    RouteFigures,
)
from openclaw_nats.storage.rows import ENDED, OPEN

_DELIVERY = (
    "id, event_id, route_id, route, subject, session, flow_key, state, reason, priority, hops, stored_at, arrived_at, "
    "changed_at, dispatch_id, origin, tainted, "
    "(SELECT due_at FROM dispatches WHERE id = dispatch_id AND state = 'failed') AS until, replay"
)

_DISPATCH = "id, route, body, events, hops, state, attempts, runs, way, run_id, outcome, reply, created_at, changed_at"
_SEARCH = (
    "(instr(lower(route || ' ' || subject || ' ' || session || ' ' || event_id || ' ' || reason), lower(?)) OR EXISTS "
    "(SELECT 1 FROM events WHERE events.place = deliveries.place AND instr(lower(CAST(document AS TEXT)), lower(?))) "
    "OR EXISTS "
    "(SELECT 1 FROM dispatches WHERE dispatches.id = deliveries.dispatch_id AND instr(lower(body), lower(?))))"
)


def deliveries(db: sqlite3.Connection, filters: Filters, cursor: int | None, limit: int) -> list[ListedDelivery]:
    """Deliveries, newest first, before number `cursor`."""
    where, values = _where(filters)
    if cursor is not None:
        where.append("id < ?")
        values.append(cursor)
    sql = f"SELECT {_DELIVERY} FROM deliveries WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?"  # noqa: S608
    return [ListedDelivery(**dict(row)) for row in db.execute(sql, (*values, limit))]


def total(db: sqlite3.Connection, filters: Filters) -> int:
    """How many deliveries the filters let through."""
    where, values = _where(filters)
    return int(db.execute(f"SELECT count(*) FROM deliveries WHERE {' AND '.join(where)}", values).fetchone()[0])  # noqa: S608


def delivery(db: sqlite3.Connection, number: int) -> DeliveryDetail | None:
    """One delivery with its event, its history and its dispatch; None when there is no such number.

    `document` is None when the event's content has gone from the inbox; the stream may have it at `sequence`, if the
    message there is the event's `place`.
    """
    row = db.execute(f"SELECT {_DELIVERY}, place, sequence FROM deliveries WHERE id = ?", (number,)).fetchone()  # noqa: S608
    if row is None:
        return None
    document = db.execute(
        "SELECT document FROM events JOIN deliveries USING (place) WHERE deliveries.id = ?", (number,)
    ).fetchone()
    return DeliveryDetail(
        **dict(row),
        document=document[0] if document else None,
        changes=_changes(db, number),
        dispatch=receipt(db, row["dispatch_id"]) if row["dispatch_id"] else None,
    )


def states_of_route(db: sqlite3.Connection, route_id: int) -> set[str]:
    """The states in which a route's deliveries are."""
    return {row[0] for row in db.execute("SELECT DISTINCT state FROM deliveries WHERE route_id = ?", (route_id,))}


def of_events(db: sqlite3.Connection, ids: Sequence[str]) -> dict[str, list[DeliveryRef]]:
    """For each event id (at most 500) what became of it: id, route and state of its deliveries.

    Publishers may have used one id for several events: then those of all of them.
    """
    found: dict[str, list[DeliveryRef]] = {}
    marks = ",".join("?" * len(ids))
    sql = f"SELECT event_id, id, route, state FROM deliveries WHERE event_id IN ({marks}) ORDER BY id"  # noqa: S608
    for row in db.execute(sql, list(ids)):
        found.setdefault(row["event_id"], []).append(DeliveryRef(row["id"], row["route"], row["state"]))
    return found


def of_dispatch(db: sqlite3.Connection, dispatch: str, limit: int = 100) -> list[WokenBy]:
    """The events that went out in a dispatch."""
    sql = (
        "SELECT id, route, state, event_id, subject, sequence FROM deliveries WHERE dispatch_id = ? ORDER BY id LIMIT ?"
    )
    return [WokenBy(*row) for row in db.execute(sql, (dispatch, limit))]


def of_places(db: sqlite3.Connection, route_id: int, places: Sequence[str]) -> dict[str, ListedDelivery]:
    """For each event (by its place, at most 500) the delivery that a route has of it."""
    marks = ",".join("?" * len(places))
    sql = f"SELECT {_DELIVERY}, place FROM deliveries WHERE route_id = ? AND place IN ({marks})"  # noqa: S608
    found = [dict(row) for row in db.execute(sql, (route_id, *places))]
    return {row.pop("place"): ListedDelivery(**row) for row in found}


def numbers(db: sqlite3.Connection, filters: Filters, limit: int) -> list[int]:
    """The numbers of the deliveries that the filters let through, oldest first."""
    where, values = _where(filters)
    sql = f"SELECT id FROM deliveries WHERE {' AND '.join(where)} ORDER BY id LIMIT ?"  # noqa: S608
    return [row[0] for row in db.execute(sql, (*values, limit))]


def route_of(db: sqlite3.Connection, number: int) -> int:
    """The number of a delivery's route; 0 when there is no such delivery."""
    row = db.execute("SELECT route_id FROM deliveries WHERE id = ?", (number,)).fetchone()
    return int(row[0]) if row else 0


def receipts(db: sqlite3.Connection, filters: Filters, cursor: str | None, limit: int) -> list[ListedDispatch]:
    """Delivered dispatches, newest first, before id `cursor`. Filters: route, since, until."""
    where: list[str] = ["state = 'delivered'"]
    values: list[str | float] = []
    for value, test in (
        (filters.route, "route = ?"),
        (filters.since, "changed_at >= ?"),
        (filters.until, "changed_at <= ?"),
    ):
        if value is not None:
            where.append(test)
            values.append(value)
    if cursor is not None:
        where.append("id < ?")
        values.append(cursor)
    sql = f"SELECT {_DISPATCH} FROM dispatches WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?"  # noqa: S608
    return [ListedDispatch(**dict(row)) for row in db.execute(sql, (*values, limit))]


def receipt(db: sqlite3.Connection, dispatch_id: str) -> ListedDispatch | None:
    """One dispatch with the numbers and ids of what it carried, and its history."""
    row = db.execute(f"SELECT {_DISPATCH} FROM dispatches WHERE id = ?", (dispatch_id,)).fetchone()  # noqa: S608
    if row is None:
        return None
    carried = db.execute(
        "SELECT id, event_id, subject, place, sequence FROM deliveries WHERE dispatch_id = ? ORDER BY id",
        (dispatch_id,),
    )
    found = [Carried(**dict(one)) for one in carried]
    return ListedDispatch(**dict(row), deliveries=found, changes=_changes(db, found[0].id) if found else [])


def receipts_like(db: sqlite3.Connection, beginning: str) -> list[str]:
    """The ids that begin so: at most 3."""
    sql = "SELECT id FROM dispatches WHERE id >= ? AND id < ? ORDER BY id LIMIT 3"
    return [row[0] for row in db.execute(sql, (beginning, beginning + "\uffff"))]


def counts(db: sqlite3.Connection, route_id: int | None = None) -> dict[int, RouteFigures]:
    """For each route (or one) what became of its events."""
    found: defaultdict[int, RouteFigures] = defaultdict(RouteFigures)
    where, values = ("", ()) if route_id is None else (" WHERE route_id = ?", (route_id,))
    by_state = f"SELECT route_id, state, count(*) FROM deliveries{where} GROUP BY route_id, state"  # noqa: S608
    for row in db.execute(by_state, values):
        found[row[0]].states[row[1]] = row[2]
    sent = f"SELECT route_id, count(*), sum(runs) FROM dispatches{where} GROUP BY route_id"  # noqa: S608
    for row in db.execute(sent, values):
        found[row[0]].dispatches, found[row[0]].runs = row[1], row[2]
    states = f"state IN ({','.join('?' * len(OPEN))})"
    open_ones = f"{where} AND {states}" if where else f" WHERE {states}"
    oldest = f"SELECT route_id, min(arrived_at) FROM deliveries{open_ones} GROUP BY route_id"  # noqa: S608
    for row in db.execute(oldest, (*values, *OPEN)):
        found[row[0]].oldest = row[1]
    return found


def states(db: sqlite3.Connection) -> dict[str, int]:
    """The number of deliveries in each state."""
    found = {state: 0 for state in OPEN + ENDED}
    found |= {row[0]: row[1] for row in db.execute("SELECT state, count(*) FROM deliveries GROUP BY state")}
    return found


def _changes(db: sqlite3.Connection, number: int) -> list[Change]:
    rows = db.execute("SELECT at, state, reason FROM changes WHERE delivery_id = ? ORDER BY rowid", (number,))
    return [Change(**dict(row)) for row in rows]


def _where(filters: Filters) -> tuple[list[str], list[str | float]]:
    states = filters.states
    where: list[str] = [f"state IN ({','.join('?' * len(states))})"]
    values: list[str | float] = list(states)
    tests = {
        "route": "route = ?",
        "subject": "on_pattern(?, subject)" if {"*", ">"} & set(filters.subject or "") else "subject = ?",
        "session": "session = ?",
        "since": "changed_at >= ?",
        "until": "changed_at <= ?",
        "event": "event_id = ?",
        "search": _SEARCH,
    }
    for name, test in tests.items():
        value: str | float | None = getattr(filters, name)
        if value is not None:
            where.append(test)
            values += [value] * test.count("?")
    return where, values
