"""Which deliveries of webhooks are known, as rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from openclaw_nats.storage import source_signatures
from openclaw_nats.storage.source_signatures import Lasting

# What may be stored counts for longer than what is: a provider that heard no answer comes again.
_UNSURE_SECONDS = 3600.0
# Deliveries that have in common what is signed: for how long from the first on, and how many.
_SHARED_SECONDS = 3600.0
_MOST_SHARED = 4


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """One that comes: by what it is known again, each with until when (Unix seconds), and its event. `shared` is how
    the last key begins for all deliveries that have in common what is signed; empty where none do. `lasting` belongs to
    the last key, where no time is signed.
    """

    source: str
    keys: Sequence[tuple[str, float]]
    event_id: str
    subject: str
    now: float
    shared: str = ""
    lasting: Lasting | None = None


@dataclass(frozen=True, slots=True)
class KnownDelivery:
    """One that is known; `first_at` in seconds since the Unix epoch, `fresh`: not from before. Its event may not be
    stored.
    """

    event_id: str
    subject: str
    first_at: float
    stored: bool
    fresh: bool = False


def begin(db: sqlite3.Connection, one: NewDelivery) -> KnownDelivery:
    """Note a delivery under its keys, two at most; the one known under the first of them that is known, or this one."""
    first, last = one.keys[0][0], one.keys[-1][0]
    row = db.execute(
        "SELECT event_id, subject, first_at, stored FROM source_deliveries WHERE source = ? AND key IN (?, ?) "
        "AND (until > ? OR lasting IS NOT NULL OR (stored = 0 AND first_at > ?)) ORDER BY key != ? LIMIT 1",
        (one.source, first, last, one.now, one.now - _UNSURE_SECONDS, first),
    ).fetchone()
    if row is None and one.shared:
        row = _too_late(db, one)
    if row is not None:
        return KnownDelivery(row[0], row[1], row[2], bool(row[3]))
    if one.lasting is not None and source_signatures.knows(db, one.source, one.lasting):
        return KnownDelivery(one.event_id, one.subject, one.now, stored=True)
    db.executemany(
        "INSERT OR REPLACE INTO source_deliveries (source, key, event_id, subject, first_at, until, signer, lasting) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [(one.source, key, one.event_id, one.subject, one.now, until, *_signed(one, key)) for key, until in one.keys],
    )
    return KnownDelivery(one.event_id, one.subject, one.now, stored=False, fresh=True)


def _signed(one: NewDelivery, key: str) -> tuple[bytes | None, bytes | None]:
    here = one.lasting if key == one.keys[-1][0] else None
    return (here.signer, here.digest) if here is not None else (None, None)


def _too_late(db: sqlite3.Connection, one: NewDelivery) -> tuple[str, str, float, int] | None:
    """The first delivery with what is signed in this one, when that was too long ago or they are too many."""
    found: list[tuple[str, str, float, int]] = db.execute(
        "SELECT event_id, subject, first_at, stored FROM source_deliveries WHERE source = ? AND key >= ? AND key < ? "
        "AND (until > ? OR lasting IS NOT NULL) ORDER BY first_at LIMIT ?",
        (one.source, one.shared, f"{one.shared}~", one.now, _MOST_SHARED),
    ).fetchall()
    late = found and (len(found) == _MOST_SHARED or found[0][2] < one.now - _SHARED_SECONDS)
    return found[0] if late else None


def make_room(db: sqlite3.Connection, source: str, most: int) -> None:
    """Keep at most so many rows of a source: the oldest go, of whose signatures that still verify it is kept that they
    came.
    """
    (count,) = db.execute("SELECT count(*) FROM source_deliveries WHERE source = ?", (source,)).fetchone()
    if count > most:
        oldest = "source = ? AND key IN (SELECT key FROM source_deliveries WHERE source = ? ORDER BY first_at LIMIT ?)"
        values = (source, source, count - most + most // 20)
        source_signatures.keep(db, oldest, values)
        db.execute(f"DELETE FROM source_deliveries WHERE {oldest}", values)  # noqa: S608


def note_keys(db: sqlite3.Connection, stored: Sequence[tuple[NewDelivery, KnownDelivery]]) -> None:
    """Deliveries that came again, whose events are in the stream: they are known under these keys, too."""
    db.executemany(
        "INSERT OR IGNORE INTO source_deliveries (source, key, event_id, subject, first_at, until, stored, signer, "
        "lasting) VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?)",
        [
            (one.source, key, known.event_id, known.subject, one.now, until, *_signed(one, key))
            for one, known in stored
            for key, until in one.keys
        ],
    )


def note_stored(db: sqlite3.Connection, events: Iterable[tuple[str, str]]) -> None:
    """Events, each by its source and id, are in the stream."""
    db.executemany("UPDATE source_deliveries SET stored = 1 WHERE source = ? AND event_id = ?", events)


def never_sent(db: sqlite3.Connection, source: str, event_id: str) -> None:
    """It was surely not stored: nobody has to look for it."""
    db.execute("DELETE FROM source_deliveries WHERE source = ? AND event_id = ? AND stored = 0", (source, event_id))


def forget(db: sqlite3.Connection, now: float) -> None:
    """Those whose time is over; of signatures that still verify, no more is kept than that they came."""
    over, values = "until <= ? AND (stored = 1 OR first_at <= ?)", (now, now - _UNSURE_SECONDS)
    source_signatures.keep(db, over, values)
    db.execute(f"DELETE FROM source_deliveries WHERE {over}", values)  # noqa: S608


def forget_source(db: sqlite3.Connection, source: str) -> None:
    """All of a source that is gone: another one of its name begins anew."""
    db.execute("DELETE FROM source_deliveries WHERE source = ?", (source,))
    source_signatures.forget_source(db, source)
