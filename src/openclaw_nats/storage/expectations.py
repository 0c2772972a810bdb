"""Expectations, their episodes and the notices that are still to be published, as rows."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

_EPISODE = "id, expectation, key, state, began, due, boot, due_steady, gateway, armed"


@dataclass(frozen=True, slots=True)
class RuleRow:
    """A rule. `made` is in seconds since the Unix epoch."""

    id: int
    name: str
    document: str
    made: float
    after_sequence: int
    overflow: int
    faults: int
    fault: str


@dataclass(frozen=True, slots=True)
class EpisodeRow:
    """What a rule waits for, or has missed: `state` is open, unknown or missed. Times are the stream's, in seconds."""

    id: int
    expectation: int
    key: str
    state: str
    began: float
    due: float
    boot: str
    due_steady: float
    gateway: str
    armed: int


@dataclass(frozen=True, slots=True)
class NoticeRow:
    """An event that has to be published; `data` is JSON."""

    id: int
    event: str
    subject: str
    data: bytes
    at: float


def rules(db: sqlite3.Connection) -> list[RuleRow]:
    """All rules, by name."""
    found = db.execute(
        "SELECT id, name, document, made, after_sequence, overflow, faults, fault FROM expectations ORDER BY name"
    )
    return [RuleRow(*row) for row in found]


def put_rule(db: sqlite3.Connection, name: str, document: str, made: float, after_sequence: int) -> int:
    """Make a rule in place of the one of that name; its number."""
    remove_rule(db, name)
    sql = "INSERT INTO expectations (name, document, made, after_sequence) VALUES (?, ?, ?, ?) RETURNING id"
    return int(db.execute(sql, (name, document, made, after_sequence)).fetchone()[0])


def remove_rule(db: sqlite3.Connection, name: str) -> None:
    """Remove a rule with all that it waits for."""
    for table in ("expectation_episodes", "expectation_seen"):
        sql = f"DELETE FROM {table} WHERE expectation IN (SELECT id FROM expectations WHERE name = ?)"  # noqa: S608
        db.execute(sql, (name,))
    db.execute("DELETE FROM expectations WHERE name = ?", (name,))


def begin_again(db: sqlite3.Connection) -> None:
    """The stream is another one: its sequences say nothing of the one before."""
    db.execute("UPDATE expectations SET after_sequence = 0")


def overflowed(db: sqlite3.Connection, rule: int) -> None:
    """Count an event that is not followed."""
    db.execute("UPDATE expectations SET overflow = overflow + 1 WHERE id = ?", (rule,))


def failed(db: sqlite3.Connection, rule: int, reason: str) -> None:
    """Count an event on which the key failed."""
    db.execute("UPDATE expectations SET faults = faults + 1, fault = ? WHERE id = ?", (reason[:300], rule))


def _episode(row: sqlite3.Row) -> EpisodeRow:
    return EpisodeRow(*row)


def episode(db: sqlite3.Connection, rule: int, key: str) -> EpisodeRow | None:
    """The one of a key."""
    sql = f"SELECT {_EPISODE} FROM expectation_episodes WHERE expectation = ? AND key = ?"  # noqa: S608  (ours)
    row = db.execute(sql, (rule, key)).fetchone()
    return _episode(row) if row is not None else None


def numbered(db: sqlite3.Connection, number: int) -> EpisodeRow | None:
    """The one of a number."""
    row = db.execute(f"SELECT {_EPISODE} FROM expectation_episodes WHERE id = ?", (number,)).fetchone()  # noqa: S608
    return _episode(row) if row is not None else None


def episodes(db: sqlite3.Connection, rule: int, most: int) -> list[EpisodeRow]:
    """Those of a rule: what was missed first, then what is due next."""
    sql = (
        f"SELECT {_EPISODE} FROM expectation_episodes WHERE expectation = ? "  # noqa: S608  (ours)
        "ORDER BY state = 'missed' DESC, state = 'unknown' DESC, due LIMIT ?"
    )
    return [_episode(row) for row in db.execute(sql, (rule, most))]


def in_state(db: sqlite3.Connection, state: str, most: int) -> list[EpisodeRow]:
    """Those in a state, what is due first."""
    sql = f"SELECT {_EPISODE} FROM expectation_episodes WHERE state = ? ORDER BY due LIMIT ?"  # noqa: S608  (ours)
    return [_episode(row) for row in db.execute(sql, (state, most))]


def unknown_after(db: sqlite3.Connection, number: int, most: int) -> list[EpisodeRow]:
    """Those that are not known yet, with larger numbers than this one."""
    sql = f"SELECT {_EPISODE} FROM expectation_episodes WHERE state = 'unknown' AND id > ? ORDER BY id LIMIT ?"  # noqa: S608
    return [_episode(row) for row in db.execute(sql, (number, most))]


def unarmed(db: sqlite3.Connection, most: int) -> list[EpisodeRow]:
    """Open ones that nothing will fire for yet."""
    sql = f"SELECT {_EPISODE} FROM expectation_episodes WHERE state = 'open' AND armed = 0 LIMIT ?"  # noqa: S608
    return [_episode(row) for row in db.execute(sql, (most,))]


def counts(db: sqlite3.Connection) -> dict[tuple[int, str], int]:
    """How many there are, by rule and state."""
    found = db.execute("SELECT expectation, state, count(*) FROM expectation_episodes GROUP BY expectation, state")
    return {(rule, state): count for rule, state, count in found}


def count(db: sqlite3.Connection, rule: int) -> int:
    """How many a rule has."""
    found = db.execute("SELECT count(*) FROM expectation_episodes WHERE expectation = ?", (rule,)).fetchone()
    return int(found[0])


def open_episode(
    db: sqlite3.Connection, rule: int, key: str, began: float, due: float, boot: str, due_steady: float, gateway: str
) -> None:
    """Begin one; the key has none yet."""
    sql = (
        "INSERT INTO expectation_episodes (expectation, key, state, began, due, boot, due_steady, gateway) "
        "VALUES (?, ?, 'open', ?, ?, ?, ?, ?)"
    )
    db.execute(sql, (rule, key, began, due, boot, due_steady, gateway))


def set_state(db: sqlite3.Connection, number: int, state: str) -> bool:
    """Change its state; False when it is not there any more."""
    sql = "UPDATE expectation_episodes SET state = ? WHERE id = ? AND state != ?"
    return db.execute(sql, (state, number, state)).rowcount == 1


def set_armed(db: sqlite3.Connection, numbers: list[int]) -> None:
    """Something will fire for them."""
    db.executemany("UPDATE expectation_episodes SET armed = 1 WHERE id = ?", [(one,) for one in numbers])


def put_off(db: sqlite3.Connection, number: int, due: float) -> None:
    """It is due at another time of the stream's clock, which was set; it has to be armed again."""
    db.execute("UPDATE expectation_episodes SET due = ?, armed = 0 WHERE id = ?", (due, number))


def close(db: sqlite3.Connection, number: int) -> None:
    """It is over."""
    db.execute("DELETE FROM expectation_episodes WHERE id = ?", (number,))


def forget_missed(db: sqlite3.Connection, before: float) -> None:
    """What was missed long ago, and never came, is over."""
    db.execute("DELETE FROM expectation_episodes WHERE state = 'missed' AND due < ?", (before,))


def oldest_missed(db: sqlite3.Connection, rule: int) -> int | None:
    """The number of the one that was missed first; None without any."""
    sql = "SELECT id FROM expectation_episodes WHERE expectation = ? AND state = 'missed' ORDER BY due LIMIT 1"
    row = db.execute(sql, (rule,)).fetchone()
    return int(row[0]) if row is not None else None


def see(db: sqlite3.Connection, rule: int, key: str, at: float, lookback: float, most: int) -> None:
    """Remember when it came; what is older than the look-back is forgotten when there is much."""
    db.execute("INSERT OR REPLACE INTO expectation_seen VALUES (?, ?, ?)", (rule, key, at))
    found = db.execute("SELECT count(*) FROM expectation_seen WHERE expectation = ?", (rule,)).fetchone()
    if found[0] > most:
        db.execute("DELETE FROM expectation_seen WHERE expectation = ? AND at < ?", (rule, at - lookback))
        sql = (
            "DELETE FROM expectation_seen WHERE expectation = ?1 AND key IN "
            "(SELECT key FROM expectation_seen WHERE expectation = ?1 ORDER BY at DESC LIMIT -1 OFFSET ?2)"
        )
        db.execute(sql, (rule, most))


def seen(db: sqlite3.Connection, rule: int, key: str) -> float | None:
    """When it came last."""
    sql = "SELECT at FROM expectation_seen WHERE expectation = ? AND key = ?"
    row = db.execute(sql, (rule, key)).fetchone()
    return float(row[0]) if row is not None else None


def add_notice(db: sqlite3.Connection, event: str, subject: str, data: bytes, at: float) -> None:
    """Keep an event that has to be published."""
    sql = "INSERT INTO expectation_notices (event, subject, data, at) VALUES (?, ?, ?, ?)"
    db.execute(sql, (event, subject, data, at))


def notices(db: sqlite3.Connection, most: int) -> list[NoticeRow]:
    """The oldest that are not published."""
    found = db.execute("SELECT id, event, subject, data, at FROM expectation_notices ORDER BY id LIMIT ?", (most,))
    return [NoticeRow(*row) for row in found]


def published(db: sqlite3.Connection, numbers: list[int]) -> None:
    """They are stored."""
    db.executemany("DELETE FROM expectation_notices WHERE id = ?", [(one,) for one in numbers])
