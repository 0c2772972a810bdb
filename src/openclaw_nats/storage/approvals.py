"""Approvals that wait, as rows: every function runs in one transaction on the connection that it is given."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from openclaw_nats.contract.approvals import CallReport
from openclaw_nats.storage import inbox

PROMPT = "OpenClaw's own prompt"
NOBODY = "nobody in time"
_MOST_EVENTS = 20
_COLUMNS = (
    "id, key, state, agent, session, run_id, route_id, route, dispatch_id, hops, events, tool, arguments, size, "
    "digest, rule, asked, first_at, last_at, expires_at, prompt_until, answered_at, answered_by, always, turn, "
    "grant_until, use, used_at, problem, "
    "(SELECT state FROM dispatches WHERE dispatches.id = turn) AS turn_state, "
    "(SELECT reason FROM dispatches WHERE dispatches.id = turn) AS turn_reason, "
    "(SELECT outcome FROM dispatches WHERE dispatches.id = turn) AS turn_outcome, "
    "(SELECT changed_at FROM dispatches WHERE dispatches.id = turn) AS turn_changed_at, "
    "(SELECT json_array(same.id, same.use, coalesce(same.used_at, same.last_at)) FROM approvals AS same "
    "WHERE same.session = approvals.session AND same.tool = approvals.tool AND same.digest = approvals.digest "
    "AND same.id < approvals.id AND same.use IN ('begun', 'done', 'failed') ORDER BY same.id DESC LIMIT 1) AS earlier"
)
_INSERT = """
INSERT INTO approvals (key, state, agent, session, run_id, route_id, route, dispatch_id, hops, events, tool, arguments,
    size, digest, rule, first_at, last_at, expires_at, prompt_until)
VALUES (?, 'pending', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """One approval (migration 0008). Times are seconds since the Unix epoch; `turn_state` and what
    follows are those of the dispatch that `turn` names, None without one. `earlier` is JSON, `[id, use, used_at]`: the
    newest approval before it that let exactly this call through.
    """

    id: int
    key: str
    state: str
    agent: str
    session: str
    run_id: str
    route_id: int
    route: str
    dispatch_id: str
    hops: int
    events: str
    tool: str
    arguments: str
    size: int
    digest: str
    rule: str
    asked: int
    first_at: float
    last_at: float
    expires_at: float
    prompt_until: float
    answered_at: float | None
    answered_by: str
    always: str
    turn: str
    grant_until: float
    use: str
    used_at: float | None
    problem: str
    turn_state: str | None = None
    turn_reason: str | None = None
    turn_outcome: str | None = None
    turn_changed_at: float | None = None
    earlier: str | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long an approval waits (seconds), and how many may wait: in all, and of one route or agent."""

    keep: float
    most: int
    most_of_one: int


@dataclass(frozen=True, slots=True)
class Untold:
    """What somebody is to be informed of: `requested` or `answered`."""

    what: str
    row: ApprovalRow


def take(
    db: sqlite3.Connection, report: CallReport, arguments: str, now: float, bounds: Bounds
) -> tuple[int, ApprovalRow | None]:
    """Take a report of the plugin over; (1 when it is not kept for want of room, else 0; the approval it is about).

    The same report again changes nothing.
    """
    known = db.execute("SELECT approval_id FROM approval_keys WHERE key = ?", (report.key,)).fetchone()
    if known is not None:
        number = int(known[0])
    elif report.what in ("begun", "ended"):
        return 0, None
    elif (found := _same_call(db, report)) is not None:
        number = found
        until = report.until / 1000 if report.what == "asked" else 0.0
        db.execute(
            "UPDATE approvals SET key = ?, asked = asked + 1, last_at = ?, prompt_until = ?, dispatch_id = ?, "
            "run_id = ? WHERE id = ?",
            (report.key, now, until, report.dispatch, report.run, number),
        )
        _remember(db, report.key, number)
    elif _is_full(db, report, bounds):
        return 1, None
    else:
        number = _insert(db, report, arguments, now, bounds)
    _advance(db, number, report, now)
    return 0, one(db, number)


def _same_call(db: sqlite3.Connection, report: CallReport) -> int | None:
    row = db.execute(
        "SELECT id FROM approvals WHERE state = 'pending' AND session = ? AND tool = ? AND digest = ?",
        (report.session, report.tool, report.digest),
    ).fetchone()
    return int(row[0]) if row else None


def _is_full(db: sqlite3.Connection, report: CallReport, bounds: Bounds) -> bool:
    """Whether too many wait; what the operator has answered elsewhere is always kept."""
    if report.what not in ("asked", "refused"):
        return False
    total, of_route, of_agent = db.execute(
        "SELECT count(*), total(route = ?), total(agent = ?) FROM approvals WHERE state = 'pending'",
        (report.route, report.agent),
    ).fetchone()
    return bool(total >= bounds.most or of_route >= bounds.most_of_one or of_agent >= bounds.most_of_one)


def _insert(db: sqlite3.Connection, report: CallReport, arguments: str, now: float, bounds: Bounds) -> int:
    dispatch = db.execute("SELECT route_id, hops FROM dispatches WHERE id = ?", (report.dispatch,)).fetchone()
    if dispatch is None:
        dispatch = db.execute("SELECT id, 0 FROM routes WHERE name = ?", (report.route,)).fetchone() or (0, 0)
    events = [
        row[0]
        for row in db.execute(
            "SELECT event_id FROM deliveries WHERE dispatch_id = ? ORDER BY id LIMIT ?", (report.dispatch, _MOST_EVENTS)
        )
    ]
    until = report.until / 1000 if report.what == "asked" else 0.0
    values = (
        *(
            report.key,
            report.agent,
            report.session,
            report.run,
            dispatch[0],
            report.route,
            report.dispatch,
            dispatch[1],
        ),
        *(json.dumps(events), report.tool, arguments, report.size, report.digest, report.rule),
        *(now, now, now + bounds.keep, until),
    )
    number = db.execute(_INSERT, values).lastrowid or 0
    _remember(db, report.key, number)
    return number


def _remember(db: sqlite3.Connection, key: str, number: int) -> None:
    db.execute("INSERT INTO approval_keys (key, approval_id) VALUES (?, ?)", (key, number))


def _advance(db: sqlite3.Connection, number: int, report: CallReport, now: float) -> None:
    """What a report says about an approval that is there; an answer that was given already stays."""
    if report.what == "refused":
        db.execute("UPDATE approvals SET prompt_until = 0 WHERE id = ? AND key = ?", (number, report.key))
    elif report.what in ("allowed", "always", "denied"):
        state = "denied" if report.what == "denied" else "approved"
        done = db.execute(
            "UPDATE approvals SET state = ?, answered_at = ?, answered_by = ?, prompt_until = 0 "
            "WHERE id = ? AND state = 'pending'",
            (state, now, report.by or PROMPT, number),
        ).rowcount
        if not done:
            said = f"{PROMPT} was answered later ({report.what}): the first answer counts"
            db.execute(
                "UPDATE approvals SET problem = ? WHERE id = ? AND problem = '' AND answered_by != ?",
                (said, number, report.by or PROMPT),
            )
        if state == "approved":
            _use(db, number, "begun", now)
    elif report.what == "begun":
        _use(db, number, "begun", now)
    elif report.what == "ended":
        db.execute(
            "UPDATE approvals SET use = ?, used_at = ? WHERE id = ? AND use IN ('', 'begun')",
            ("done" if report.ok else "failed", now, number),
        )


def _use(db: sqlite3.Connection, number: int, use: str, now: float) -> None:
    db.execute("UPDATE approvals SET use = ?, used_at = ? WHERE id = ? AND use = ''", (use, now, number))


def one(db: sqlite3.Connection, number: int) -> ApprovalRow | None:
    """An approval by its number."""
    found = db.execute(f"SELECT {_COLUMNS} FROM approvals WHERE id = ?", (number,)).fetchone()  # noqa: S608  (ours)
    return ApprovalRow(**dict(found)) if found else None


def listed(db: sqlite3.Connection, state: str, before: int, limit: int) -> list[ApprovalRow]:
    """Approvals in a state (empty: in any), newest first, with numbers below `before`."""
    sql = f"SELECT {_COLUMNS} FROM approvals WHERE (? = '' OR state = ?) AND id < ? ORDER BY id DESC LIMIT ?"  # noqa: S608
    return [ApprovalRow(**dict(row)) for row in db.execute(sql, (state, state, before, limit))]


def pending(db: sqlite3.Connection) -> int:
    """How many wait for an answer."""
    return int(db.execute("SELECT count(*) FROM approvals WHERE state = 'pending'").fetchone()[0])


def answer(db: sqlite3.Connection, number: int, state: str, by: str, now: float, always: str = "") -> bool:
    """Answer one that waits; False when it does not wait (any more)."""
    done = db.execute(
        "UPDATE approvals SET state = ?, answered_at = ?, answered_by = ?, always = ? "
        "WHERE id = ? AND state = 'pending'",
        (state, now, by, always, number),
    ).rowcount
    return bool(done)


def note_always(db: sqlite3.Connection, number: int, always: str, problem: str) -> None:
    """What became of an answer for good that was given elsewhere."""
    db.execute("UPDATE approvals SET always = ?, problem = ? WHERE id = ?", (always, problem, number))


def give_turn(db: sqlite3.Connection, number: int, turn: str, until: float) -> None:
    """The dispatch in whose turn an approved call may run, and until when."""
    db.execute("UPDATE approvals SET turn = ?, grant_until = ? WHERE id = ?", (turn, until, number))


def withdraw(db: sqlite3.Connection, reason: str, now: float) -> int:
    """Take back what was approved and was not seen to end, with its turn; how many. Whether it ran is not known.

    Nothing is being sent then (`inbox.interrupt`).
    """
    found = db.execute(
        "SELECT id, turn FROM approvals WHERE state = 'approved' AND use IN ('', 'begun') AND turn != ''"
    ).fetchall()
    for number, turn in found:
        db.execute("UPDATE approvals SET use = 'begun', grant_until = 0, problem = ? WHERE id = ?", (reason, number))
        inbox.end_dispatch(db, turn, "dropped", reason, now)
    return len(found)


def expire(db: sqlite3.Connection, now: float) -> int:
    """End what has waited too long for an answer; how many."""
    return db.execute(
        "UPDATE approvals SET state = 'expired', answered_at = ?, answered_by = ? "
        "WHERE state = 'pending' AND expires_at <= ? AND prompt_until <= ?",
        (now, NOBODY, now, now),
    ).rowcount


def forget(db: sqlite3.Connection, before: float, most: int) -> None:
    """Forget what was answered before then, and of the rest all but the newest `most`."""
    rest = "SELECT id FROM approvals WHERE state != 'pending' ORDER BY id DESC LIMIT -1 OFFSET ?"
    gone = f"state != 'pending' AND answered_told = 1 AND (answered_at < ? OR id IN ({rest}))"
    for (number,) in db.execute(f"SELECT id FROM approvals WHERE {gone}", (before, most)).fetchall():  # noqa: S608
        db.execute("DELETE FROM approval_keys WHERE approval_id = ?", (number,))
        db.execute("DELETE FROM approvals WHERE id = ?", (number,))


def untold(db: sqlite3.Connection, limit: int) -> list[Untold]:
    """What nobody was informed of yet, in the order in which it came."""
    where = "requested_told = 0 OR (answered_told = 0 AND state != 'pending')"
    sql = f"SELECT {_COLUMNS}, requested_told FROM approvals WHERE {where} ORDER BY id LIMIT ?"  # noqa: S608  (ours)
    found = []
    for row in db.execute(sql, (limit,)):
        fields = dict(row)
        told = fields.pop("requested_told")
        one_ = ApprovalRow(**fields)
        if not told:
            found.append(Untold("requested", one_))
        if one_.state != "pending":
            found.append(Untold("answered", one_))
    return found


def tell(db: sqlite3.Connection, told: Sequence[Untold]) -> None:
    """They were informed."""
    for one_ in told:
        column = "requested_told" if one_.what == "requested" else "answered_told"
        db.execute(f"UPDATE approvals SET {column} = 1 WHERE id = ?", (one_.row.id,))  # noqa: S608  (one of two words)
