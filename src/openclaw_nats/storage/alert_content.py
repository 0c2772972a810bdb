"""The newest of what an alert is about, with its content: for channels that ask for it."""

from __future__ import annotations

import sqlite3

NEWEST = 3


def dead_letters(db: sqlite3.Connection) -> list[tuple[str, str, str, bytes]]:
    """(route, subject, reason, document) of dead letters; an empty document where it is not there any more."""
    sql = (
        "SELECT d.route, d.subject, d.reason, coalesce(e.document, '') FROM deliveries d "
        "LEFT JOIN events e ON e.place = d.place WHERE d.state = 'dead' ORDER BY d.id DESC LIMIT ?"
    )
    return [(row[0], row[1], row[2], bytes(row[3] or b"")) for row in db.execute(sql, (NEWEST,))]


def approvals(db: sqlite3.Connection) -> list[tuple[str, str, str]]:
    """(agent, tool, arguments as they may be shown) of calls that wait for an answer."""
    sql = "SELECT agent, tool, arguments FROM approvals WHERE state = 'pending' ORDER BY id DESC LIMIT ?"
    return [tuple(row) for row in db.execute(sql, (NEWEST,))]


def missed(db: sqlite3.Connection, name: str) -> list[str]:
    """The keys for which an expectation is missed."""
    sql = (
        "SELECT key FROM expectation_episodes WHERE state = 'missed' AND key != '' "
        "AND expectation = (SELECT id FROM expectations WHERE name = ?) ORDER BY due DESC LIMIT ?"
    )
    return [str(row[0]) for row in db.execute(sql, (name, NEWEST))]
