"""The audit log, as rows: what they mean, and what holds them together, is in the folder `audit/`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import astuple, dataclass


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One record: its text (JSON), the digest of that, and how many bytes all up to it have together.

    `at` is in seconds since the Unix epoch; the text has the same time.
    """

    number: int
    at: float
    text: str
    digest: str
    total: int


def newest(db: sqlite3.Connection) -> AuditRow | None:
    """The newest record."""
    row = db.execute("SELECT * FROM audit ORDER BY number DESC LIMIT 1").fetchone()
    return AuditRow(*row) if row else None


def add(db: sqlite3.Connection, row: AuditRow) -> None:
    """One more record."""
    db.execute("INSERT INTO audit (number, at, record, digest, total) VALUES (?, ?, ?, ?, ?)", astuple(row))


def every(db: sqlite3.Connection) -> Iterator[AuditRow]:
    """All records, the oldest first."""
    return (AuditRow(*row) for row in db.execute("SELECT * FROM audit ORDER BY number"))


def listed(db: sqlite3.Connection, since: float | None, search: str, cursor: int | None, limit: int) -> list[AuditRow]:
    """Records, the newest first: from a time on, with a text in them, before the one with the number `cursor`."""
    found = db.execute(
        """SELECT * FROM audit WHERE at >= ? AND number < ? AND (? = '' OR instr(lower(record), lower(?)))
            ORDER BY number DESC LIMIT ?""",
        (since or 0.0, cursor if cursor is not None else 1 << 62, search, search, limit),
    )
    return [AuditRow(*row) for row in found]


def extent(db: sqlite3.Connection) -> tuple[int, int]:
    """(how many records there are, how many bytes)."""
    first = db.execute(
        "SELECT number, total, length(CAST(record AS BLOB)) FROM audit ORDER BY number LIMIT 1"
    ).fetchone()
    last = newest(db)
    if first is None or last is None:
        return 0, 0
    return last.number - first[0] + 1, last.total - first[1] + first[2]


def last_to_remove(db: sqlite3.Connection, records: int, size: int) -> AuditRow | None:
    """The newest of those that have to go so that at most so many records and bytes are left."""
    last = newest(db)
    if last is None:
        return None
    sql = "SELECT * FROM audit WHERE number <= ? OR total <= ? ORDER BY number DESC LIMIT 1"
    row = db.execute(sql, (last.number - records, last.total - size)).fetchone()
    return AuditRow(*row) if row else None


def remove_through(db: sqlite3.Connection, number: int) -> None:
    """The oldest records go, up to this one."""
    db.execute("DELETE FROM audit WHERE number <= ?", (number,))
