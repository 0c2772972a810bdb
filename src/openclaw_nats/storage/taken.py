"""Which events of the stream have come into the inbox."""

from __future__ import annotations

import sqlite3

_NEWEST = """
    SELECT coalesce(max(sequence), 0) FROM (SELECT sequence, stored_at FROM deliveries ORDER BY id DESC LIMIT 1000)
    WHERE stored_at BETWEEN ? AND ? AND sequence <= ?
"""
_LARGEST = 2**63 - 1


def last_taken(
    db: sqlite3.Connection, *, since: float = 0.0, until: float = float("inf"), up_to: int = _LARGEST
) -> int:
    """The highest sequence, but none above `up_to`, among the newest deliveries whose event was stored in that time.

    `since` and `until` are seconds since the Unix epoch, both included. 0: there is none.
    """
    return int(db.execute(_NEWEST, (since, until, up_to)).fetchone()[0])
