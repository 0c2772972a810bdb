"""What watchers remember, and their events on the way into the stream, as rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """An event that waits for the stream; `at` in seconds since the Unix epoch, `data` is JSON."""

    number: int
    event: str
    thing: str
    subject: str
    type: str
    data: bytes
    at: float


def items(db: sqlite3.Connection, source: str) -> dict[str, str]:
    """All that a watcher remembers."""
    return dict(db.execute("SELECT key, value FROM watch_items WHERE source = ?", (source,)).fetchall())


def keep(
    db: sqlite3.Connection, source: str, changes: Mapping[str, str | None], events: Iterable[tuple[object, ...]] = ()
) -> None:
    """Remember `changes` (None forgets an item), and put `events` on their way.

    Each is (event, thing, subject, type, data, at).
    """
    db.executemany(
        "INSERT INTO watch_events (source, event, thing, subject, type, data, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(source, *one) for one in events],
    )
    db.executemany(
        "INSERT OR REPLACE INTO watch_items (source, key, value) VALUES (?, ?, ?)",
        [(source, key, value) for key, value in changes.items() if value is not None],
    )
    db.executemany(
        "DELETE FROM watch_items WHERE source = ? AND key = ?",
        [(source, key) for key, value in changes.items() if value is None],
    )


def waiting(db: sqlite3.Connection, source: str, most: int) -> list[WatchEvent]:
    """The oldest events that are on their way."""
    rows = db.execute(
        "SELECT number, event, thing, subject, type, data, at FROM watch_events WHERE source = ? "
        "ORDER BY number LIMIT ?",
        (source, most),
    ).fetchall()
    return [WatchEvent(*row) for row in rows]


def arrived(db: sqlite3.Connection, numbers: Sequence[int]) -> None:
    """These are in the stream, or can never be."""
    db.executemany("DELETE FROM watch_events WHERE number = ?", [(one,) for one in numbers])


def forget_items(db: sqlite3.Connection, source: str) -> None:
    """It begins from the start."""
    db.execute("DELETE FROM watch_items WHERE source = ?", (source,))


def forget(db: sqlite3.Connection, source: str) -> None:
    """The source is gone: another one of its name has nothing of it."""
    forget_items(db, source)
    db.execute("DELETE FROM watch_events WHERE source = ?", (source,))


def forget_others(db: sqlite3.Connection, names: Sequence[str]) -> None:
    """Sources other than these are gone."""
    known = set(names)
    found = db.execute("SELECT source FROM watch_items UNION SELECT source FROM watch_events").fetchall()
    for (name,) in found:
        if name not in known:
            forget(db, name)
