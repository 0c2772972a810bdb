"""Asking the index of the stream for agent runs: those that have not ended, and the events of each. What a Gateway says
alone counts: nobody else tells what belongs to a run.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

from openclaw_nats.events.subjects import RUN_ENDED
from openclaw_nats.storage.event_index import FAILED, EventIndex
from openclaw_nats.storage.event_search import Wanted, conditions_of

GATEWAY = "gateway"
LOOKED_AT = 50_000  # events, the newest, among which runs without an end are looked for
_OPEN = """
SELECT run, last FROM (
    SELECT e.run AS run, max(e.seq) AS last FROM events e
    WHERE {conditions} AND e.run != 0 AND e.seq > (SELECT max(seq) FROM events) - ? GROUP BY e.run
) found WHERE NOT EXISTS (
    SELECT 1 FROM events x JOIN names s ON s.id = x.subject JOIN names o ON o.id = x.origin
    WHERE x.run = found.run AND x.run != 0 AND s.value = ? AND o.value = ?
) ORDER BY last DESC LIMIT ?
"""
_EVENTS = """
SELECT e.seq, e.at, e.flags, s.value, coalesce(a.value, ''), coalesce(k.value, '')
FROM events e JOIN names s ON s.id = e.subject JOIN names o ON o.id = e.origin
LEFT JOIN names a ON a.id = e.agent LEFT JOIN names k ON k.id = e.session
WHERE e.run = ? AND e.run != 0 AND o.value = ? ORDER BY e.seq LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One event of a run; `at` is when it was stored, milliseconds since the Unix epoch."""

    sequence: int
    at: int
    subject: str
    failed: bool


@dataclass(frozen=True, slots=True)
class RunEvents:
    """The events of a run, oldest first. `complete` is false when there are more."""

    run: str
    agent: str
    session: str
    events: list[RunEvent]
    complete: bool


def open_runs(index: EventIndex, wanted: Wanted, most: int) -> list[int]:
    """The numbers of runs that have events and no end, newest first. Raises Unavailable."""
    with index.asked() as db:
        conditions = conditions_of(db, replace(wanted, subject="", kind="", failed=False, origin=GATEWAY))
        if conditions is None:
            return []
        where, values = conditions
        found = db.execute(_OPEN.format(conditions=where), (*values, LOOKED_AT, RUN_ENDED, GATEWAY, most))
        return [row[0] for row in found]


def runs_at(index: EventIndex, sequences: Sequence[int]) -> list[int]:
    """The number of each event's run, in that order; each run once. Raises Unavailable."""
    marks = ",".join("?" * len(sequences))
    query = f"SELECT run FROM events WHERE run != 0 AND seq IN ({marks}) ORDER BY seq DESC"  # noqa: S608
    with index.asked() as db:
        return list(dict.fromkeys(row[0] for row in db.execute(query, list(sequences))))


def events_of(index: EventIndex, numbers: Sequence[int], most: int) -> dict[int, RunEvents]:
    """What each run did, at most `most` events of each. Raises Unavailable."""
    with index.asked() as db:
        return {number: found for number in numbers if (found := _events(db, number, most)) is not None}


def _events(db: sqlite3.Connection, number: int, most: int) -> RunEvents | None:
    name = db.execute("SELECT value FROM names WHERE id = ?", (number,)).fetchone()
    rows = db.execute(_EVENTS, (number, GATEWAY, most + 1)).fetchall()
    if name is None or not rows:
        return None
    agent = next((row[4] for row in rows if row[4]), "")
    session = next((row[5] for row in rows if row[5]), "")
    events = [RunEvent(row[0], row[1], row[3], bool(row[2] & FAILED)) for row in rows[:most]]
    return RunEvents(name[0], agent, session, events, len(rows) <= most)
