"""Asking the index of the stream: segment by segment, newest first, until enough is found or the time is up."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass

from openclaw_nats.events.searchable import grams_of
from openclaw_nats.events.subjects import PREFIX, matches
from openclaw_nats.storage.event_index import FAILED, PROBE, EventIndex
from openclaw_nats.storage.event_index_names import FIELDS

NO_MORE = 1 << 62


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events. Times are milliseconds since the Unix epoch, `until` excluded; what is empty is not asked for."""

    subject: str = ""
    kind: str = ""
    agent: str = ""
    session: str = ""
    run: str = ""
    origin: str = ""
    terms: tuple[str, ...] = ()
    since: int = 0
    until: int = NO_MORE
    failed: bool = False
    probes: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """Candidates, newest first, as (sequence, time). Everything from `down_to` on, stored at `at`, was looked at.

    `ended`: there is nothing more behind that; `at` is 0 when that is not known. Of a text the index knows threes of
    characters: a candidate may lack it, but none that holds it is missing.
    """

    candidates: list[tuple[int, int]]
    down_to: int
    at: int
    ended: bool


def search(index: EventIndex, wanted: Wanted, before: int, limit: int, seconds: float) -> Found:
    """At most `limit` candidates before a sequence. Raises Unavailable."""
    with index.asked() as db:
        return _search(db, wanted, before, limit, time.monotonic() + seconds)


def _search(db: sqlite3.Connection, wanted: Wanted, before: int, limit: int, deadline: float) -> Found:
    found: list[tuple[int, int]] = []
    if (conditions := conditions_of(db, wanted)) is None:
        return Found([], 1, 0, ended=True)
    down_to, at = before, 0
    for segment, first, last, begins in _segments(db, wanted, before):
        if time.monotonic() > deadline:
            return Found(found, down_to, at, ended=False)
        rows = db.execute(
            *_query("e.seq, e.at", segment, wanted, conditions, (first, min(last, before - 1)), limit - len(found))
        )
        found += [(row[0], row[1]) for row in rows]
        if len(found) >= limit:
            return Found(found, *found[-1], ended=False)
        down_to, at = first, begins
    return Found(found, down_to, at, ended=True)


def histogram(
    index: EventIndex, wanted: Wanted, begin: int, step: int, steps: int, seconds: float
) -> tuple[list[int], list[int], bool]:
    """(events, failed ones) in each step from `begin` on, in milliseconds; and whether all of it was counted."""
    deadline = time.monotonic() + seconds
    counts, failures = [0] * steps, [0] * steps
    with index.asked() as db:
        if (conditions := conditions_of(db, wanted)) is None:
            return counts, failures, True
        shown = f"min((e.at - {begin}) / {step}, {steps - 1}), count(*), sum(e.flags & {FAILED})"
        for segment, first, last, _ in _segments(db, wanted, NO_MORE):
            if time.monotonic() > deadline:
                return counts, failures, False
            for bucket, count, failed in db.execute(*_query(shown, segment, wanted, conditions, (first, last), None)):
                counts[bucket] += count
                failures[bucket] += failed
    return counts, failures, True


def newest_names(index: EventIndex, field: str, count: int) -> list[str]:
    """The names of a field that were there last, the newest first."""
    query = "SELECT value FROM names WHERE field = ? ORDER BY last DESC LIMIT ?"
    with index.asked() as db:
        return [row[0] for row in db.execute(query, (field, count))]


def _segments(db: sqlite3.Connection, wanted: Wanted, before: int) -> Iterator[tuple[int, int, int, int]]:
    rows = db.execute(
        "SELECT id, first, last, begins FROM segments WHERE first < ? AND ends >= ? AND begins < ? ORDER BY id DESC",
        (before, wanted.since, wanted.until),
    )
    yield from [(row[0], row[1], row[2], row[3]) for row in rows]


def conditions_of(db: sqlite3.Connection, wanted: Wanted) -> tuple[str, list[object]] | None:
    """What rows have to fulfil; None when nothing can."""
    parts: list[str] = []
    values: list[object] = []
    for field in FIELDS[1:]:
        if name := getattr(wanted, field):
            row = db.execute("SELECT id FROM names WHERE field = ? AND value = ?", (field, name)).fetchone()
            if row is None:
                return None
            parts.append(f"e.{field} = ?")
            values.append(row[0])
    if wanted.subject or wanted.kind:
        rows = db.execute("SELECT id, value FROM names WHERE field = 'subject'")
        numbers = [row[0] for row in rows if _is_on(wanted, row[1])]
        if not numbers:
            return None
        parts.append("e.subject IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(numbers))
    if wanted.since:
        parts.append("e.at >= ?")
        values.append(wanted.since)
    if wanted.until < NO_MORE:
        parts.append("e.at < ?")
        values.append(wanted.until)
    if wanted.failed:
        parts.append(f"e.flags & {FAILED}")
    if not wanted.probes:
        parts.append(f"NOT e.flags & {PROBE}")
    return " AND ".join(parts) or "1", values


def _is_on(wanted: Wanted, subject: str) -> bool:
    if wanted.kind and subject.removeprefix(PREFIX).partition(".")[0] != wanted.kind:
        return False
    return not wanted.subject or matches(wanted.subject, subject)


def _query(
    shown: str,
    segment: int,
    wanted: Wanted,
    conditions: tuple[str, list[object]],
    place: tuple[int, int],
    limit: int | None,
) -> tuple[str, list[object]]:
    """A query about one segment, with its values; with a limit newest first, else counted. Its names are ours."""
    where, values = conditions
    grams = dict.fromkeys(gram for one in wanted.terms for gram in grams_of(one))
    text = f"text_{segment}"
    given: list[object] = []
    place_of, tables = "e.seq", "events e"
    if grams:
        place_of, tables = f"{text}.rowid", f"{text} CROSS JOIN events e ON e.seq = {text}.rowid"
        where = f"{text} MATCH ? AND {where}"
        given = [" AND ".join(map(_quoted, grams))]
    ending = "GROUP BY 1" if limit is None else f"ORDER BY {place_of} DESC LIMIT {limit}"
    given = [*given, *values, *place]
    query = f"SELECT {shown} FROM {tables} WHERE {where} AND {place_of} BETWEEN ? AND ? {ending}"  # noqa: S608
    return query, given


def _quoted(gram: str) -> str:
    return '"' + gram.replace('"', '""') + '"'
