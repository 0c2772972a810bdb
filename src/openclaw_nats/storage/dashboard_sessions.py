"""The dashboard's sessions, as rows."""

from __future__ import annotations

import sqlite3
from dataclasses import astuple, dataclass


@dataclass(slots=True)
class SessionRow:
    """One signed-in browser. Times are seconds since the Unix epoch."""

    id: str
    token_hash: bytes
    browser: str
    made_at: float
    seen_at: float
    ends_at: float
    page_hash: bytes


def every(db: sqlite3.Connection) -> list[SessionRow]:
    """All sessions."""
    sql = (
        "SELECT id, token_hash, browser, made_at, seen_at, ends_at, page_hash FROM dashboard_sessions ORDER BY made_at"
    )
    return [SessionRow(*row) for row in db.execute(sql)]


def add(db: sqlite3.Connection, row: SessionRow) -> None:
    """A new session."""
    db.execute("INSERT INTO dashboard_sessions VALUES (?, ?, ?, ?, ?, ?, ?)", astuple(row))


def seen(db: sqlite3.Connection, session_id: str, at: float) -> None:
    """It was used."""
    db.execute("UPDATE dashboard_sessions SET seen_at = ? WHERE id = ?", (at, session_id))


def limit(db: sqlite3.Connection, longest: float) -> None:
    """None lasts beyond then."""
    db.execute("UPDATE dashboard_sessions SET ends_at = ? WHERE ends_at > ?", (longest, longest))


def remove(db: sqlite3.Connection, session_ids: list[str]) -> None:
    """They are over."""
    db.executemany("DELETE FROM dashboard_sessions WHERE id = ?", [(one,) for one in session_ids])
