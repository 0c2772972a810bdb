"""What is wrong, what channels were told of it, and the messages to them, as rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

MOST_WAITING = 50  # of a channel: the oldest go
_MOST_ENDED = 200


@dataclass(frozen=True, slots=True)
class ConditionRow:
    """Something that is wrong. Times are seconds since the Unix epoch; `over_at` is None while it lasts."""

    key: str
    kind: str
    text: str
    page: str
    since: float
    over_at: float | None = None


@dataclass(frozen=True, slots=True)
class ToldRow:
    """What a channel was told of, and when last."""

    key: str
    kind: str
    text: str
    page: str
    told_at: float


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A message. `ended_at` is None while it waits; `error` is how the last attempt failed."""

    id: str
    channel: str
    title: str
    body: str
    made_at: float
    next_at: float
    attempts: int = 0
    ended_at: float | None = None
    error: str = ""


_MESSAGE = "SELECT id, channel, title, body, made_at, next_at, attempts, ended_at, error FROM alert_messages "


def conditions(db: sqlite3.Connection) -> list[ConditionRow]:
    """All that is wrong, the oldest first."""
    found = db.execute("SELECT key, kind, text, page, since, over_at FROM alert_conditions ORDER BY since, key")
    return [ConditionRow(*row) for row in found]


def put_conditions(db: sqlite3.Connection, rows: Iterable[ConditionRow]) -> None:
    """These are wrong, and nothing else."""
    db.execute("DELETE FROM alert_conditions")
    db.executemany(
        "INSERT INTO alert_conditions VALUES (?, ?, ?, ?, ?, ?)",
        [(one.key, one.kind, one.text, one.page, one.since, one.over_at) for one in rows],
    )


def told(db: sqlite3.Connection, channel: str) -> list[ToldRow]:
    """What a channel was told of."""
    found = db.execute("SELECT key, kind, text, page, told_at FROM alert_told WHERE channel = ?", (channel,))
    return [ToldRow(*row) for row in found]


def put_told(db: sqlite3.Connection, channel: str, rows: Iterable[ToldRow], over: Iterable[str]) -> None:
    """A channel is told of these; of those that are over nothing is left to tell."""
    db.executemany(
        "INSERT OR REPLACE INTO alert_told VALUES (?, ?, ?, ?, ?, ?)",
        [(channel, one.key, one.kind, one.text, one.page, one.told_at) for one in rows],
    )
    db.executemany("DELETE FROM alert_told WHERE channel = ? AND key = ?", [(channel, key) for key in over])


def last_made(db: sqlite3.Connection, channel: str) -> float:
    """When the newest message to a channel was made; 0 without one."""
    (found,) = db.execute("SELECT max(made_at) FROM alert_messages WHERE channel = ?", (channel,)).fetchone()
    return float(found or 0.0)


def add_message(db: sqlite3.Connection, row: MessageRow) -> None:
    """A new message waits; what a channel has too much of ends."""
    db.execute(
        "INSERT INTO alert_messages (id, channel, title, body, made_at, next_at) VALUES (?, ?, ?, ?, ?, ?)",
        (row.id, row.channel, row.title, row.body, row.made_at, row.next_at),
    )
    db.execute(
        "UPDATE alert_messages SET ended_at = ?, error = 'dropped: too many wait; ' || error WHERE id IN "
        "(SELECT id FROM alert_messages WHERE channel = ? AND ended_at IS NULL ORDER BY made_at DESC, id DESC "
        "LIMIT -1 OFFSET ?)",
        (row.made_at, row.channel, MOST_WAITING),
    )
    db.execute(
        "DELETE FROM alert_messages WHERE id IN (SELECT id FROM alert_messages WHERE channel = ? "
        "AND ended_at IS NOT NULL ORDER BY made_at DESC, id DESC LIMIT -1 OFFSET ?)",
        (row.channel, _MOST_ENDED),
    )


def due(db: sqlite3.Connection, now: float) -> list[MessageRow]:
    """Of each channel the oldest message that waits, when its time has come."""
    found = db.execute(
        f"{_MESSAGE}AS one WHERE ended_at IS NULL AND next_at <= ? AND NOT EXISTS "  # noqa: S608
        "(SELECT 1 FROM alert_messages AS older WHERE older.channel = one.channel AND older.ended_at IS NULL "
        "AND (older.made_at, older.id) < (one.made_at, one.id))",
        (now,),
    )
    return [MessageRow(*row) for row in found]


def waiting(db: sqlite3.Connection) -> dict[str, int]:
    """How many messages wait, by channel."""
    found = db.execute("SELECT channel, count(*) FROM alert_messages WHERE ended_at IS NULL GROUP BY channel")
    return {row[0]: row[1] for row in found}


def put_attempt(db: sqlite3.Connection, message_id: str, error: str, next_at: float, ended_at: float | None) -> None:
    """How an attempt went; with `ended_at` it was the last one."""
    db.execute(
        "UPDATE alert_messages SET attempts = attempts + 1, error = ?, next_at = ?, ended_at = ? "
        "WHERE id = ? AND ended_at IS NULL",
        (error, next_at, ended_at, message_id),
    )


def history(db: sqlite3.Connection, channel: str, limit: int) -> list[MessageRow]:
    """The messages to a channel, the newest first."""
    found = db.execute(
        f"{_MESSAGE}WHERE channel = ? ORDER BY made_at DESC, id DESC LIMIT ?",
        (channel, limit),
    )
    return [MessageRow(*row) for row in found]


def forget(db: sqlite3.Connection, channel: str) -> None:
    """A channel is gone: another one of its name begins anew."""
    db.execute("DELETE FROM alert_told WHERE channel = ?", (channel,))
    db.execute("DELETE FROM alert_messages WHERE channel = ?", (channel,))
