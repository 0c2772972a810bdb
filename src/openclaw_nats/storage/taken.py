"""Which events of the stream have come into the inbox."""

from __future__ import annotations

import sqlite3

_NEWEST = """
    SELECT coalesce(max(sequence), 0) FROM (SELECT sequence, stored_at FROM deliveries ORDER BY id DESC LIMIT 1000)
    WHERE stored_at >= ?
"""


def last_taken(db: sqlite3.Connection, since: float) -> int:
    """The highest sequence among the newest deliveries whose event was stored since (seconds, Unix epoch); 0: none."""
    return int(db.execute(_NEWEST, (since,)).fetchone()[0])


_BEFORE = """
    SELECT coalesce(max(sequence), 0) FROM (SELECT sequence, stored_at FROM deliveries ORDER BY id DESC LIMIT 1000)
    WHERE stored_at <= ? AND sequence <= ?
"""


def last_taken_before(db: sqlite3.Connection, moment: float, last: int) -> int:
    """The same of events that were stored up to a moment, up to the sequence `last`."""
    return int(db.execute(_BEFORE, (moment, last)).fetchone()[0])
