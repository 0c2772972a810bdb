"""Which deliveries of webhooks are known, as rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

# What may be stored counts for longer than what is: a provider that heard no answer comes again.
_UNSURE_SECONDS = 3600.0
_SELDOM = 64  # counting takes time: about once in so many deliveries


@dataclass(frozen=True, slots=True)
class KnownDelivery:
    """One that came before; `first_at` in seconds since the Unix epoch. Its event may not be stored."""

    event_id: str
    subject: str
    first_at: float
    stored: bool


def begin(
    db: sqlite3.Connection,
    source: str,
    keys: Sequence[tuple[str, float]],
    event_id: str,
    subject: str,
    now: float,
    most: int,
) -> KnownDelivery:
    """Note a delivery under its `keys`, each with until when; the one that is known under one of them, or this one.

    Of one source at most `most` rows are kept: the oldest go.
    """
    for key, _ in keys:
        row = db.execute(
            "SELECT event_id, subject, first_at, stored FROM source_deliveries WHERE source = ? AND key = ? "
            "AND (until > ? OR (stored = 0 AND first_at > ?))",
            (source, key, now, now - _UNSURE_SECONDS),
        ).fetchone()
        if row is not None:
            return KnownDelivery(row[0], row[1], row[2], bool(row[3]))
    db.executemany(
        "INSERT OR REPLACE INTO source_deliveries (source, key, event_id, subject, first_at, until) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        [(source, key, event_id, subject, now, until) for key, until in keys],
    )
    if int(now * 1000) % _SELDOM:
        return KnownDelivery(event_id, subject, now, stored=False)
    (count,) = db.execute("SELECT count(*) FROM source_deliveries WHERE source = ?", (source,)).fetchone()
    if count > most:
        db.execute(
            "DELETE FROM source_deliveries WHERE source = ? AND key IN "
            "(SELECT key FROM source_deliveries WHERE source = ? ORDER BY first_at LIMIT ?)",
            (source, source, count - most + most // 20),
        )
    return KnownDelivery(event_id, subject, now, stored=False)


def note_stored(
    db: sqlite3.Connection, source: str, keys: Sequence[tuple[str, float]], event_id: str, subject: str, now: float
) -> None:
    """Its event is in the stream."""
    db.execute("UPDATE source_deliveries SET stored = 1 WHERE source = ? AND event_id = ?", (source, event_id))
    db.executemany(
        "INSERT OR IGNORE INTO source_deliveries (source, key, event_id, subject, first_at, until, stored) "
        "VALUES (?, ?, ?, ?, ?, ?, 1)",
        [(source, key, event_id, subject, now, until) for key, until in keys],
    )


def never_sent(db: sqlite3.Connection, source: str, event_id: str) -> None:
    """It was surely not stored: nobody has to look for it."""
    db.execute("DELETE FROM source_deliveries WHERE source = ? AND event_id = ? AND stored = 0", (source, event_id))


def forget(db: sqlite3.Connection, now: float) -> None:
    """Those whose time is over."""
    db.execute(
        "DELETE FROM source_deliveries WHERE until <= ? AND (stored = 1 OR first_at <= ?)", (now, now - _UNSURE_SECONDS)
    )


def forget_source(db: sqlite3.Connection, source: str) -> None:
    """All of a source that is gone: another one of its name begins anew."""
    db.execute("DELETE FROM source_deliveries WHERE source = ?", (source,))
