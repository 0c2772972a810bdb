"""The links of the certificate's chain, as rows; what they mean is in `reconcile/`."""

from __future__ import annotations

import sqlite3
from dataclasses import astuple, dataclass


@dataclass(frozen=True, slots=True)
class LinkRow:
    """One link: its record (JSON), its entries, and the digest over both.

    `first` and `last` are sequences of the stream, `newest` when its newest event was stored (seconds, Unix epoch).
    """

    number: int
    kind: str
    first: int
    last: int
    newest: float
    record: str
    entries: bytes
    digest: str


def newest(db: sqlite3.Connection, kind: str | None = None) -> LinkRow | None:
    """The newest link, of one kind or of any."""
    sql = "SELECT * FROM certificate_links WHERE ? IS NULL OR kind = ? ORDER BY number DESC LIMIT 1"
    row = db.execute(sql, (kind, kind)).fetchone()
    return LinkRow(*row) if row else None


def add(db: sqlite3.Connection, row: LinkRow) -> None:
    """One more link."""
    db.execute("INSERT INTO certificate_links VALUES (?, ?, ?, ?, ?, ?, ?, ?)", astuple(row))


def after(db: sqlite3.Connection, number: int, limit: int) -> list[LinkRow]:
    """The next links behind a number, the oldest first."""
    found = db.execute("SELECT * FROM certificate_links WHERE number > ? ORDER BY number LIMIT ?", (number, limit))
    return [LinkRow(*row) for row in found]


def records(db: sqlite3.Connection, kind: str, limit: int, since: int = 0) -> list[str]:
    """The newest records of one kind behind the number `since`, the newest first."""
    sql = "SELECT record FROM certificate_links WHERE kind = ? AND number > ? ORDER BY number DESC LIMIT ?"
    return [str(row[0]) for row in db.execute(sql, (kind, since, limit))]


def events_after(db: sqlite3.Connection, number: int, limit: int = -1) -> list[LinkRow]:
    """The links of events behind a number, the oldest first, without their entries."""
    found = db.execute(
        """SELECT number, kind, first, last, newest, record, x'', digest FROM certificate_links
            WHERE kind = 'events' AND number > ? ORDER BY number LIMIT ?""",
        (number, limit),
    )
    return [LinkRow(*row) for row in found]


def count(db: sqlite3.Connection, kind: str) -> int:
    """How many links of one kind there are."""
    return int(db.execute("SELECT count(*) FROM certificate_links WHERE kind = ?", (kind,)).fetchone()[0])


def days_before(db: sqlite3.Connection, moment: float) -> LinkRow | None:
    """The newest day's record whose events were all stored before a moment, and which is not the newest day's."""
    row = db.execute(
        """SELECT * FROM certificate_links WHERE kind = 'day' AND newest < ?
            AND number < (SELECT max(number) FROM certificate_links WHERE kind = 'day') ORDER BY number DESC LIMIT 1""",
        (moment,),
    ).fetchone()
    return LinkRow(*row) if row else None


def oldest_events(db: sqlite3.Connection) -> LinkRow | None:
    """The oldest link that has entries."""
    row = db.execute("SELECT * FROM certificate_links WHERE kind = 'events' ORDER BY number LIMIT 1").fetchone()
    return LinkRow(*row) if row else None


def first_day_after(db: sqlite3.Connection, number: int) -> LinkRow | None:
    """The first day's record behind a number, if it is not the newest one."""
    row = db.execute(
        """SELECT * FROM certificate_links WHERE kind = 'day' AND number > ?
            AND number < (SELECT max(number) FROM certificate_links WHERE kind = 'day') ORDER BY number LIMIT 1""",
        (number,),
    ).fetchone()
    return LinkRow(*row) if row else None


def remove_through(db: sqlite3.Connection, number: int) -> None:
    """All links up to a number go."""
    db.execute("DELETE FROM certificate_links WHERE number <= ?", (number,))
