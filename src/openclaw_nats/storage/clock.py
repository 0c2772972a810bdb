"""Times that were noted while the clock was ahead: after it was put right none of them may lie in the future."""

from __future__ import annotations

import sqlite3


def put_right(db: sqlite3.Connection, now: float) -> int:
    """Move what lies after `now` to `now`; how many rows that were. Waits of retries keep their length.

    What budgets and rates count then holds for one of their windows at most. All of these have indexes.
    """
    changed = 0
    for sql in (
        "UPDATE turns SET at = :now WHERE at > :now",
        "UPDATE costs SET at = :now WHERE at > :now",
        "UPDATE approvals SET expires_at = :now + max(0, expires_at - last_at), last_at = :now, "
        "first_at = min(first_at, :now), prompt_until = min(prompt_until, :now) "
        "WHERE state = 'pending' AND last_at > :now",
        "UPDATE dispatches SET created_at = :now WHERE created_at > :now",
        "UPDATE dispatches SET due_at = :now + max(0, due_at - changed_at), changed_at = :now "
        "WHERE state IN ('sending', 'failed') AND changed_at > :now",
        "UPDATE deliveries SET arrived_at = min(arrived_at, :now), stored_at = min(stored_at, :now) "
        "WHERE state = 'pending' AND (arrived_at > :now OR stored_at > :now)",
    ):
        changed += db.execute(sql, {"now": now}).rowcount
    return changed
