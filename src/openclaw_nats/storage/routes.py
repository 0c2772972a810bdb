"""The routes' SQL."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from openclaw_nats.storage.inbox import NO_OLD_PLACES, fact, set_fact


@dataclass(frozen=True, slots=True)
class StoredRoute:
    """A route as it is stored; `document` is JSON. Events up to `after_sequence` of the stream are not for it.

    `belongs_to` names the job or timer whose ticks alone take it; empty for all others. `tainted`: somebody outside may
    have had a hand in its words.
    """

    id: int
    name: str
    document: str
    after_sequence: int
    made_by: str
    created_at: float
    updated_at: float
    belongs_to: str = ""
    tainted: bool = False


def every(db: sqlite3.Connection) -> list[StoredRoute]:
    """All routes by name."""
    return [_route(row) for row in db.execute("SELECT * FROM routes ORDER BY name")]


def save(
    db: sqlite3.Connection,
    name: str,
    document: str,
    after_sequence: int,
    made_by: str,
    now: float,
    belongs_to: str = "",
    *,
    tainted: bool = False,
) -> StoredRoute:
    """Create the route or replace its document; what it is for (`after_sequence`) is the caller's to decide.

    Once tainted it stays so: who changes one word of it does not say the others.
    """
    row = db.execute(
        """INSERT INTO routes (name, document, after_sequence, made_by, created_at, updated_at, belongs_to, tainted)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?)
           ON CONFLICT (name) DO UPDATE SET document = excluded.document, after_sequence = excluded.after_sequence,
           made_by = iif(excluded.belongs_to = '', made_by, excluded.made_by),
           tainted = max(tainted, excluded.tainted),
           updated_at = excluded.updated_at RETURNING *""",
        (name, document, after_sequence, made_by, now, now, belongs_to, tainted),
    ).fetchone()
    return _route(row)


def _route(row: tuple[Any, ...]) -> StoredRoute:
    return StoredRoute(*(*row[:-1], bool(row[-1])))


def remove(db: sqlite3.Connection, route_id: int) -> None:
    """Remove a route, and its pause."""
    db.execute("DELETE FROM routes WHERE id = ?", (route_id,))
    db.execute("DELETE FROM pauses WHERE route_id = ?", (route_id,))


def follow_stream(db: sqlite3.Connection, stream: str, kept: int = 0) -> bool:
    """Note which stream the sequences are of; when it is another one than before, they start again. True if so.

    Every route then is for what is behind the sequence `kept`, up to which the stream was there before (Standing).
    Events that are known by sequence and id alone (migration 0003) are no longer taken for those of the new stream.
    """
    known = fact(db, "stream")
    if known == stream:
        return False
    set_fact(db, "stream", stream)
    if known:
        # One that was only put back has the sequences that it had: what a route had not seen, it still has to.
        same = known.partition("#")[0] == stream.partition("#")[0]
        db.execute("UPDATE routes SET after_sequence = iif(?, min(after_sequence, ?), ?)", (same, kept, kept))
        set_fact(db, NO_OLD_PLACES, "yes")
    return bool(known)
