"""The inbox's SQL: every function runs in one transaction on the connection that it is given.

States of a delivery: pending → sending → delivered, or sending → failed → sending …, and in the end dead; dropped (by
the operator, the loop guard or because its route was removed) and expired end it too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from openclaw_nats.ports import Receipt
from openclaw_nats.storage.listed import DeadLetter
from openclaw_nats.storage.rows import BEHIND_ALL, Dispatch, NewDelivery, Waiting
from openclaw_nats.storage.space import let_contents_go

T = TypeVar("T")
NO_OLD_PLACES = "no old places"
PLAIN_IDS_UNTIL = "plain ids until"
_INSERT_EVENT = "INSERT INTO events (place, document) VALUES (?, ?) ON CONFLICT DO NOTHING"
# Redriven deliveries of a version that knew events by their ids have no place that the message would show.
_KNOWN_OF_OLD = "SELECT 1 FROM deliveries WHERE place = ? AND route_id = ?"
_NEW = (
    *("place", "event_id", "route_id", "route", "subject", "session", "sequence", "state", "reason", "flow_key"),
    *("priority", "hops", "size", "stored_at", "origin", "tainted", "replay", "first_stored"),
)
_MARKS = ", ".join("?" * len(_NEW))
_INSERT_DELIVERY = (
    f"INSERT INTO deliveries ({', '.join(_NEW)}, arrived_at, changed_at) VALUES ({_MARKS}, ?, ?) "  # noqa: S608  (ours)
    "ON CONFLICT (place, route_id) DO NOTHING RETURNING id"
)
_CHANGED = "INSERT INTO changes (delivery_id, at, state, reason) VALUES (?, ?, ?, ?)"
_INSERT_DISPATCH = """
INSERT INTO dispatches (id, route_id, route, flow_key, target, body, events, priority, hops, position, state, attempts,
                        created_at, changed_at, replay)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'sending', 1, ?, ?, ?)"""


def add(db: sqlite3.Connection, rows: Sequence[NewDelivery], now: float) -> list[int | None]:
    """Insert deliveries with their events; the number of each, or None for one that is there already."""
    numbers: list[int | None] = []
    seen = set()
    old_places = not fact(db, NO_OLD_PLACES)
    for row in rows:
        if old_places and db.execute(_KNOWN_OF_OLD, (f"old:{row.sequence}:{row.event_id}", row.route_id)).fetchone():
            numbers.append(None)
            continue
        values = (*(getattr(row, name) for name in _NEW), now, now)
        found = db.execute(_INSERT_DELIVERY, values).fetchone()
        numbers.append(found[0] if found else None)
        # What ends at once needs no content, nor does what comes once more when it has ended.
        if found and row.state in ("pending", "dead") and row.place not in seen:
            db.execute(_INSERT_EVENT, (row.place, row.document))
            seen.add(row.place)
        if found and row.state != "pending":
            db.execute(_CHANGED, (found[0], now, row.state, row.reason))
    return numbers


_WAITING = (
    "id, place, event_id, route_id, flow_key, sequence, priority, hops, size, stored_at, arrived_at, origin, tainted, "
    "replay, first_stored"
)


def _waiting_of(row: sqlite3.Row) -> tuple[int, str, Waiting]:
    one = Waiting(
        delivery=row["id"],
        place=row["place"],
        event_id=row["event_id"],
        order=row["sequence"] + (BEHIND_ALL if row["replay"] else 0),
        priority=row["priority"],
        hops=row["hops"],
        size=row["size"],
        stored=row["stored_at"],
        arrived=row["arrived_at"],
        origin=row["origin"],
        tainted=bool(row["tainted"]),
        replay=row["replay"],
        first_stored=row["first_stored"],
    )
    return row["route_id"], row["flow_key"], one


def waiting(db: sqlite3.Connection) -> list[tuple[int, str, Waiting]]:
    """(route, flow key, delivery) of everything that waits, in the order in which it came."""
    sql = f"SELECT {_WAITING} FROM deliveries WHERE state = 'pending' ORDER BY id"  # noqa: S608  (our own text)
    return [_waiting_of(row) for row in db.execute(sql)]


def _parts(values: Iterable[T]) -> Iterator[tuple[list[T], str]]:
    """The values in parts that a statement takes, each with its question marks."""
    left = list(values)
    for start in range(0, len(left), 500):
        part = left[start : start + 500]
        yield part, ",".join("?" * len(part))


def documents(db: sqlite3.Connection, places: Iterable[str]) -> dict[str, bytes]:
    """The events' documents by place; one that was purged is missing."""
    found: dict[str, bytes] = {}
    for part, marks in _parts(places):
        sql = f"SELECT place, document FROM events WHERE place IN ({marks})"  # noqa: S608  (marks only)
        found |= {row["place"]: row["document"] for row in db.execute(sql, part)}
    return found


def begin(db: sqlite3.Connection, dispatch: Dispatch, now: float, *, turn: bool) -> None:
    """Record a new dispatch as being sent; raise Taken, and keep nothing, when one of its deliveries went meanwhile."""
    taken = 0
    for part, marks in _parts(dispatch.deliveries):
        sql = f"""UPDATE deliveries SET state = 'sending', dispatch_id = ?, changed_at = ?, reason = ''
                  WHERE id IN ({marks}) AND state = 'pending'"""  # noqa: S608  (marks only)
        taken += db.execute(sql, (dispatch.id, now, *part)).rowcount
    if taken != len(dispatch.deliveries):
        raise Taken
    _insert(db, dispatch, now)
    reason = f"dispatch {dispatch.id}, attempt 1"
    db.executemany(_CHANGED, [(number, now, "sending", reason) for number in dispatch.deliveries])
    if turn:
        _count_turn(db, dispatch, now)


def _insert(db: sqlite3.Connection, dispatch: Dispatch, now: float) -> None:
    what = (dispatch.id, dispatch.route_id, dispatch.route, dispatch.flow_key, dispatch.target, dispatch.body)
    how = (dispatch.events, dispatch.priority, dispatch.hops, dispatch.position, dispatch.created_at, now)
    db.execute(_INSERT_DISPATCH, (*what, *how, dispatch.replay))


def _count_turn(db: sqlite3.Connection, dispatch: Dispatch, now: float) -> None:
    route_id, replay = dispatch.route_id, bool(dispatch.replay)
    by = "EXISTS (SELECT 1 FROM routes WHERE id = ? AND made_by LIKE 'agent:%')"
    sql = f"INSERT INTO turns (at, route_id, agents, replay) VALUES (?, ?, {by}, ?)"  # noqa: S608  (our own text)
    db.execute(sql, (now, route_id, route_id, replay))


def still_pending(db: sqlite3.Connection, numbers: Iterable[int]) -> set[int]:
    """Which of the deliveries are pending."""
    found = set()
    for number in numbers:
        if db.execute("SELECT 1 FROM deliveries WHERE id = ? AND state = 'pending'", (number,)).fetchone():
            found.add(number)
    return found


class Taken(Exception):
    """A delivery is no longer pending: the operator dropped it, say."""


def begin_apart(db: sqlite3.Connection, dispatch: Dispatch, reason: str, now: float) -> None:
    """Record a dispatch without deliveries, which is due at once: a turn for what the operator has approved."""
    _insert(db, dispatch, now)
    db.execute("UPDATE dispatches SET state = 'failed', attempts = 0, reason = ? WHERE id = ?", (reason, dispatch.id))
    _count_turn(db, dispatch, now)


def begin_again(db: sqlite3.Connection, dispatch: Dispatch, now: float, *, new_run: bool) -> bool:
    """Record another attempt of a dispatch; False when the operator ended it meanwhile."""
    done = db.execute(
        "UPDATE dispatches SET state = 'sending', attempts = ?, runs = ?, changed_at = ? "
        "WHERE id = ? AND state = 'failed'",
        (dispatch.attempts, dispatch.runs, now, dispatch.id),
    ).rowcount
    if not done:
        return False
    _move(db, dispatch.id, now, "sending", f"dispatch {dispatch.id}, attempt {dispatch.attempts}")
    if new_run:
        _count_turn(db, dispatch, now)
    return True


def deliver(db: sqlite3.Connection, dispatch: Dispatch, receipt: Receipt, now: float) -> None:
    """Record the receipt of a dispatch."""
    db.execute(
        "UPDATE dispatches SET state = 'delivered', reason = '', way = ?, run_id = ?, outcome = ?, reply = ?, "
        "changed_at = ? WHERE id = ?",
        (receipt.way, receipt.run_id, receipt.outcome, receipt.reply, now, dispatch.id),
    )
    _move(db, dispatch.id, now, "delivered", f"{receipt.outcome} by {receipt.way}")
    let_contents_go(db, dispatch_id=dispatch.id)


def fail(db: sqlite3.Connection, dispatch: Dispatch, reason: str, now: float) -> None:
    """Record a failed attempt that will be repeated at `dispatch.due_at`."""
    db.execute(
        "UPDATE dispatches SET state = 'failed', reason = ?, failures = ?, runs = ?, due_at = ?, changed_at = ?, "
        "way = ? WHERE id = ?",
        (reason, dispatch.failures, dispatch.runs, dispatch.due_at, now, dispatch.way, dispatch.id),
    )
    _move(db, dispatch.id, now, "failed", reason)


def bury(db: sqlite3.Connection, dispatch: Dispatch, reason: str, now: float) -> None:
    """Record that a dispatch is given up: its deliveries are dead letters."""
    db.execute(
        "UPDATE dispatches SET state = 'dead', reason = ?, outcome = 'given up', changed_at = ? WHERE id = ?",
        (reason, now, dispatch.id),
    )
    _move(db, dispatch.id, now, "dead", reason)


def end(
    db: sqlite3.Connection, numbers: Iterable[int], state: str, reason: str, now: float, was: str = "pending"
) -> list[int]:
    """Move deliveries that wait (or are in another state) to an end state; those that were still in it."""
    ended = []
    for number in numbers:
        done = db.execute(
            "UPDATE deliveries SET state = ?, reason = ?, changed_at = ? WHERE id = ? AND state = ?",
            (state, reason, now, number, was),
        ).rowcount
        if done:
            db.execute(_CHANGED, (number, now, state, reason))
            if state != "dead":
                let_contents_go(db, number=number)
            ended.append(number)
    return ended


def end_dispatch(db: sqlite3.Connection, dispatch_id: str, state: str, reason: str, now: float) -> bool:
    """Move a dispatch that waits for another attempt to an end state; False when it does not wait."""
    done = db.execute(
        "UPDATE dispatches SET state = ?, reason = ?, changed_at = ? WHERE id = ? AND state = 'failed'",
        (state, reason, now, dispatch_id),
    ).rowcount
    if done:
        _move(db, dispatch_id, now, state, reason)
        let_contents_go(db, dispatch_id=dispatch_id)
    return bool(done)


def end_route(db: sqlite3.Connection, route_id: int, reason: str, now: float) -> list[str]:
    """Drop what waits for a removed route; the dispatches that were waiting for another attempt."""
    numbers = [
        row["id"]
        for row in db.execute("SELECT id FROM deliveries WHERE route_id = ? AND state = 'pending'", (route_id,))
    ]
    end(db, numbers, "dropped", reason, now)
    failed = db.execute("SELECT id FROM dispatches WHERE route_id = ? AND state = 'failed'", (route_id,)).fetchall()
    for row in failed:
        end_dispatch(db, row["id"], "dropped", reason, now)
    return [row["id"] for row in failed]


def release_again(db: sqlite3.Connection, dispatch_id: str, reason: str, now: float) -> list[tuple[int, str, Waiting]]:
    """A dispatch that waits for another attempt is not sent any more: its deliveries are pending, as before it."""
    ended = db.execute(
        "UPDATE dispatches SET state = 'dropped', reason = ?, changed_at = ? WHERE id = ? AND state = 'failed'",
        (reason, now, dispatch_id),
    ).rowcount
    if not ended:
        return []
    _move(db, dispatch_id, now, "pending", reason)
    sql = f"""UPDATE deliveries SET dispatch_id = NULL, reason = '' WHERE dispatch_id = ? RETURNING {_WAITING}"""  # noqa: S608
    return [_waiting_of(row) for row in db.execute(sql, (dispatch_id,)).fetchall()]


def revive(db: sqlite3.Connection, numbers: Iterable[int], reason: str, now: float) -> list[tuple[int, str, Waiting]]:
    """Dead letters become pending again, arrived now; those whose event is still there, as `waiting` lists them."""
    revived = []
    sql = f"""UPDATE deliveries SET state = 'pending', reason = '', dispatch_id = NULL, told = 0,
              arrived_at = ?, stored_at = ?, changed_at = ?
              WHERE id = ? AND state = 'dead' AND EXISTS (SELECT 1 FROM events WHERE events.place = deliveries.place)
              RETURNING {_WAITING}"""  # noqa: S608  (our own text)
    for number in numbers:
        row = db.execute(sql, (now, now, now, number)).fetchone()
        if row is not None:
            db.execute(_CHANGED, (number, now, "pending", reason))
            revived.append(_waiting_of(row))
    return revived


_FIELDS = (
    "id route_id route flow_key target body events priority hops position created_at attempts failures runs way due_at "
    "changed_at replay"
)


def _dispatches(db: sqlite3.Connection, where: str, values: Iterable[object] = ()) -> list[Dispatch]:
    sql = f"SELECT * FROM dispatches WHERE {where} ORDER BY position"  # noqa: S608  (our own text)
    found = []
    for row in db.execute(sql, tuple(values)).fetchall():
        numbers = [one[0] for one in db.execute("SELECT id FROM deliveries WHERE dispatch_id = ?", (row["id"],))]
        found.append(Dispatch(**{name: row[name] for name in _FIELDS.split()}, deliveries=numbers))
    return found


def open_dispatches(db: sqlite3.Connection) -> list[Dispatch]:
    """Dispatches that were being sent when the last process ended, or wait for another attempt."""
    return _dispatches(db, "state IN ('sending', 'failed')")


def target_of(db: sqlite3.Connection, dispatch_id: str) -> str:
    """The target of a dispatch as it was kept (JSON); empty when there is no such dispatch (any more)."""
    row = db.execute("SELECT target FROM dispatches WHERE id = ?", (dispatch_id,)).fetchone()
    return str(row[0]) if row else ""


def sending_with(db: sqlite3.Connection, numbers: Iterable[int]) -> list[Dispatch]:
    """The dispatches being sent that carry one of these deliveries."""
    found: dict[str, Dispatch] = {}
    for number in numbers:
        where = "state = 'sending' AND id = (SELECT dispatch_id FROM deliveries WHERE id = ?)"
        found |= {one.id: one for one in _dispatches(db, where, (number,))}
    return list(found.values())


def interrupt(db: sqlite3.Connection, now: float) -> None:
    """At the start: what was being sent when the last process ended failed with an unknown outcome, and is due."""
    for row in db.execute("SELECT id FROM dispatches WHERE state = 'sending'").fetchall():
        reason = "the sidecar ended before the answer came; it is asked again with the same key"
        db.execute(
            "UPDATE dispatches SET state = 'failed', due_at = 0, reason = ?, changed_at = ? WHERE id = ?",
            (reason, now, row["id"]),
        )
        _move(db, row["id"], now, "failed", reason)


def untold(db: sqlite3.Connection, limit: int) -> list[DeadLetter]:
    """Dead letters that are not yet in the dead-letter stream, with their events."""
    rows = db.execute(
        """SELECT d.id, d.place, d.route, d.route_id, d.subject, d.reason, d.changed_at,
                  d.event_id, d.sequence, d.hops, e.document
           FROM deliveries d LEFT JOIN events e ON e.place = d.place
           WHERE d.state = 'dead' AND d.told = 0 ORDER BY d.id LIMIT ?""",
        (limit,),
    )
    return [DeadLetter(**dict(row)) for row in rows]


def tell(db: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Mark dead letters as published."""
    db.executemany("UPDATE deliveries SET told = 1 WHERE id = ?", [(number,) for number in numbers])


def dispatch_times(db: sqlite3.Connection, since: float) -> list[tuple[int, str, int, float]]:
    """(route, flow key, replay, time) of every dispatch since then: what the rate limits count."""
    sql = "SELECT route_id, flow_key, replay, created_at FROM dispatches WHERE created_at >= ? ORDER BY created_at"
    return [tuple(row) for row in db.execute(sql, (since,))]


def turn_times(db: sqlite3.Connection, since: float) -> list[tuple[float, int, bool, bool]]:
    """(time, route, whether an agent made the route, whether a replay asked) of each agent run since then."""
    sql = "SELECT at, route_id, agents, replay FROM turns WHERE at >= ? ORDER BY at"
    return [(row[0], row[1], bool(row[2]), bool(row[3])) for row in db.execute(sql, (since,))]


def forget_turns(db: sqlite3.Connection, before: float) -> None:
    """Forget agent runs that no budget counts any more."""
    db.execute("DELETE FROM turns WHERE at < ?", (before,))


def fact(db: sqlite3.Connection, name: str) -> str:
    """A remembered fact; empty when there is none."""
    row = db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return str(row[0]) if row else ""


def set_fact(db: sqlite3.Connection, name: str, value: str) -> None:
    """Remember a fact."""
    db.execute(
        "INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = ?", (name, value, value)
    )


def _move(db: sqlite3.Connection, dispatch_id: str, now: float, state: str, reason: str) -> None:
    db.execute(
        "INSERT INTO changes (delivery_id, at, state, reason) SELECT id, ?, ?, ? FROM deliveries WHERE dispatch_id = ?",
        (now, state, reason, dispatch_id),
    )
    db.execute(
        "UPDATE deliveries SET state = ?, reason = ?, changed_at = ? WHERE dispatch_id = ?",
        (state, reason, now, dispatch_id),
    )
