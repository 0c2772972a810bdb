"""The room that the inbox takes on disk, and how it is given back: in small steps, so that no other write waits long.

What can go are receipts (delivered, dropped, expired), and dead letters that stand in the dead-letter stream; never
what waits. The content of an event is kept while one of its deliveries needs it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

AT_ONCE = 200
INCREMENTAL = 2
LOG_BYTES = 4 << 20  # of the write-ahead log, which is a little longer at times
_RECEIPTS = ("delivered", "dropped", "expired")
_NEEDED = (
    "EXISTS (SELECT 1 FROM deliveries AS other WHERE other.place = events.place "
    "AND +other.state IN ('pending', 'sending', 'failed', 'dead'))"
)

# What became of an approval is read from its turn, as long as the approval is kept.
FORGOTTEN = "deliveries forgotten up to"
_FORGOTTEN = """
    INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO
    UPDATE SET value = excluded.value WHERE CAST(excluded.value AS INTEGER) > CAST(value AS INTEGER)"""
_CARRIES_NOTHING = (
    "state NOT IN ('sending', 'failed') AND NOT EXISTS (SELECT 1 FROM deliveries WHERE dispatch_id = dispatches.id) "
    "AND NOT EXISTS (SELECT 1 FROM approvals WHERE turn = dispatches.id)"
)

# A body is the event itself when it differs by white space at most: json() leaves that out.
_DROP_BODY = """
    UPDATE dispatches SET body = '' WHERE id = ? AND events = 1 AND state = 'delivered' AND body = (
        SELECT CASE WHEN json_valid(text) THEN json(text) END FROM (
            SELECT CAST(document AS TEXT) AS text FROM events JOIN deliveries USING (place)
            WHERE deliveries.dispatch_id = ?
        )
    )"""


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes on disk (file and write-ahead log), bytes of pages that hold something, and those of free pages."""

    on_disk: int
    used: int
    free: int
    gives_back: bool


def room(db: sqlite3.Connection, path: Path) -> Room:
    """What the database takes; `gives_back` says whether free pages can go back to the disk step by step."""
    page, count, free, mode = (
        int(db.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_size", "page_count", "freelist_count", "auto_vacuum")
    )
    on_disk = sum(one.stat().st_size for one in (path, path.with_name(path.name + "-wal")) if one.exists())
    return Room(on_disk, (count - free) * page, free * page, mode == INCREMENTAL)


def waiting_bytes(db: sqlite3.Connection) -> int:
    """About how many bytes what waits takes: contents, each once, and texts that are under way."""
    states = "('pending', 'sending', 'failed')"
    contents = f"SELECT place, max(size) AS size FROM deliveries WHERE state IN {states} GROUP BY place"  # noqa: S608
    bodies = f"SELECT coalesce(sum(length(body)), 0) FROM dispatches WHERE state IN {states}"  # noqa: S608
    total = db.execute(f"SELECT coalesce(sum(size), 0) FROM ({contents})").fetchone()[0]  # noqa: S608
    return int(total) + int(db.execute(bodies).fetchone()[0])


def oldest_receipts(db: sqlite3.Connection, limit: int = AT_ONCE) -> list[int]:
    """The deliveries that came first of those that ended well, or that nobody wanted."""
    parts = " UNION ALL ".join(
        f"SELECT * FROM (SELECT id FROM deliveries WHERE state = '{state}' ORDER BY id LIMIT :limit)"  # noqa: S608
        for state in _RECEIPTS
    )
    return [row[0] for row in db.execute(f"{parts} ORDER BY 1 LIMIT :limit", {"limit": limit})]


def oldest_letters(db: sqlite3.Connection, limit: int = AT_ONCE) -> list[int]:
    """The dead letters that came first of those that stand in the dead-letter stream, too."""
    sql = "SELECT id FROM deliveries WHERE state = 'dead' AND told = 1 ORDER BY id LIMIT ?"
    return [row[0] for row in db.execute(sql, (limit,))]


def left_dispatches(db: sqlite3.Connection, limit: int = AT_ONCE) -> list[str]:
    """Dispatches that ended and carry nothing any more: what they carried was redriven, or sent to another target."""
    sql = f"SELECT id FROM dispatches WHERE {_CARRIES_NOTHING} ORDER BY id LIMIT ?"  # noqa: S608  (our own text)
    return [row[0] for row in db.execute(sql, (limit,))]


def ended_before(db: sqlite3.Connection, before: float, limit: int) -> list[int]:
    """Deliveries that ended before then."""
    sql = "SELECT id FROM deliveries WHERE changed_at < ? AND state NOT IN ('pending', 'sending', 'failed') LIMIT ?"
    return [row[0] for row in db.execute(sql, (before, limit))]


def forget(db: sqlite3.Connection, numbers: Iterable[int]) -> int:
    """Forget deliveries that have ended, with their history, and what no other delivery needs; how many that were."""
    gone = newest = 0
    for number in numbers:
        row = db.execute(
            "DELETE FROM deliveries WHERE id = ? AND state NOT IN ('pending', 'sending', 'failed') "
            "RETURNING place, dispatch_id, sequence, replay",
            (number,),
        ).fetchone()
        if row is None:
            continue
        gone += 1
        if not row[3]:
            newest = max(newest, row[2])
        db.execute("DELETE FROM changes WHERE delivery_id = ?", (number,))
        db.execute(f"DELETE FROM events WHERE place = ? AND NOT {_NEEDED}", (row[0],))  # noqa: S608  (our own text)
        if row[1]:
            forget_dispatches(db, [row[1]])
    if newest:
        db.execute(_FORGOTTEN, (FORGOTTEN, str(newest)))
    return gone


def forget_dispatches(db: sqlite3.Connection, ids: Iterable[str]) -> None:
    """Forget dispatches that have ended and carry nothing any more."""
    db.executemany(
        f"DELETE FROM dispatches WHERE id = ? AND {_CARRIES_NOTHING}",  # noqa: S608  (our own text)
        [(one,) for one in ids],
    )


def let_contents_go(db: sqlite3.Connection, dispatch_id: str = "", number: int = 0) -> None:
    """A dispatch or a delivery has ended: the content of its events goes, unless another delivery needs it.

    The stream has it. Of a dispatch the text that was sent is kept, unless it is just that content.
    """
    if dispatch_id:
        db.execute(_DROP_BODY, (dispatch_id, dispatch_id))
    which, value = ("dispatch_id", dispatch_id) if dispatch_id else ("id", number)
    places = f"SELECT place FROM deliveries WHERE {which} = ?"  # noqa: S608  (our own text)
    db.execute(f"DELETE FROM events WHERE place IN ({places}) AND NOT {_NEEDED}", (value,))  # noqa: S608


def let_old_contents_go(db: sqlite3.Connection, after: int, limit: int = AT_ONCE) -> int:
    """Versions up to 0.1.0 kept the content of everything: go on after that row; the next one, 0 at the end."""
    rows = db.execute(
        f"SELECT rowid, {_NEEDED} FROM events WHERE rowid > ? ORDER BY rowid LIMIT ?",  # noqa: S608  (our own text)
        (after, limit),
    ).fetchall()
    db.executemany("DELETE FROM events WHERE rowid = ?", [(row[0],) for row in rows if not row[1]])
    return int(rows[-1][0]) if len(rows) == limit else 0
