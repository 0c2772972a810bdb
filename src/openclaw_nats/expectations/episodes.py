"""What events do to episodes. Each function is one step of a transaction; what it leaves is what a crash leaves.

    open ──B──▶ over                    a rule with `before`: B ▶ notice, over; due ▶ over
      │ due
      ▼
    unknown ──B──▶ over                 not known yet: a spool may still hold B
      │ nothing can be on its way
      ▼
    missed (notice) ──B──▶ over (notice: recovered)

An episode of a periodic rule begins again when it is over. While one is there, another A of its key changes nothing:
one notice an episode.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.expectations.rule import OWN, Rule
from openclaw_nats.expectations.times import EARLY_SECONDS, Times
from openclaw_nats.storage import expectations as rows
from openclaw_nats.storage.database import Connection
from openclaw_nats.storage.expectations import EpisodeRow

MAX_EPISODES = 10_000
MAX_SEEN = 10_000
KEEP_MISSED_SECONDS = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class Seen:
    """An event as a rule sees it: `role` is by or begins, `at` when it was stored, `gateway` which Gateway sent it."""

    rule: Rule
    role: str
    key: str
    at: float
    gateway: str = ""


@dataclass(frozen=True, slots=True)
class Fired:
    """A deadline that JetStream fired, for the episode of this number."""

    episode: int
    at: float


@dataclass(frozen=True, slots=True)
class Fault:
    """An event whose key could not be worked out."""

    rule: Rule
    reason: str


Step = Seen | Fired | Fault


def take(db: Connection, step: Step, times: Times) -> list[int]:
    """Do what an event does; the numbers of episodes whose deadline need not fire any more."""
    if isinstance(step, Fault):
        rows.failed(db, step.rule.id, step.reason)
        return []
    if isinstance(step, Fired):
        _fired(db, step, times)
        return []
    if step.role == "begins":
        _begin(db, step, times)
        return []
    return _came(db, step, times)


def begin_period(db: Connection, rule: Rule, at: float, times: Times) -> None:
    """The first episode of a periodic rule, or the next one."""
    _open(db, rule, "", at, "", times)


def _open(db: Connection, rule: Rule, key: str, at: float, gateway: str, times: Times) -> None:
    due = rule.due_after(at)
    rows.open_episode(db, rule.id, key, at, due, times.boot, times.steady_of(at) + due - at, gateway)


def _begin(db: Connection, step: Seen, times: Times) -> None:
    rule = step.rule
    if rows.episode(db, rule.id, step.key) is not None:
        return
    seen = rows.seen(db, rule.id, step.key) if rule.lookback else None
    if seen is not None and seen >= step.at - rule.lookback:
        return
    if rows.count(db, rule.id) >= MAX_EPISODES:
        oldest = rows.oldest_missed(db, rule.id)
        if oldest is None:
            rows.overflowed(db, rule.id)
            return
        rows.close(db, oldest)
    _open(db, rule, step.key, step.at, step.gateway, times)


def _came(db: Connection, step: Seen, times: Times) -> list[int]:
    rule = step.rule
    if rule.lookback and not rule.periodic:
        rows.see(db, rule.id, step.key, step.at, rule.lookback, MAX_SEEN)
    found = rows.episode(db, rule.id, step.key)
    if found is not None and found.state == "unknown" and not rule.spools:
        decide(db, rule, found, step.at)  # it was due before this in the stream's order, and no spool held this back
        found = rows.episode(db, rule.id, step.key)
    if found is None:
        return []
    if rule.forbids:
        tell(db, rule, found, "missed", step.at, "it came")
    elif found.state == "missed":
        tell(db, rule, found, "recovered", step.at, "it came")
    rows.close(db, found.id)
    if rule.periodic:
        begin_period(db, rule, step.at, times)
    return [found.id] if found.state == "open" else []


def _fired(db: Connection, step: Fired, times: Times) -> None:
    found = rows.numbered(db, step.episode)
    if found is None or found.state != "open":
        return
    left = times.left(found.due, found.boot, found.due_steady)
    if left > EARLY_SECONDS:  # the stream's clock was put forward
        rows.put_off(db, found.id, times.now() + left)
        return
    rows.set_state(db, found.id, "unknown")


def decide(db: Connection, rule: Rule, found: EpisodeRow, now: float) -> bool:
    """Nothing is on its way any more, so that an absence is true; False when the episode is over already."""
    current = rows.numbered(db, found.id)
    if current is None or current.state != "unknown":
        return False
    if rule.forbids:
        rows.close(db, found.id)
        return True
    rows.set_state(db, found.id, "missed")
    tell(db, rule, found, "missed", now, "it did not come")
    return True


def tell(db: Connection, rule: Rule, found: EpisodeRow, what: str, now: float, reason: str) -> None:
    """Keep the notice in the transaction that makes it true."""
    data: dict[str, object] = {
        "expectation": rule.name,
        "about": rule.about,
        "reason": reason,
        "key": found.key,
        "since": format_seconds(found.began),
        "due": format_seconds(found.due),
        "by": rule.document.by,
    }
    if rule.begins:
        data["before" if rule.forbids else "after"] = rule.begins
    if found.gateway:
        data["gateway"] = found.gateway
    # What is read once more, from a backup's position say, makes the same notice.
    named = msgspec.json.encode([rule.name, found.key, found.began, what])
    event = f"expectation-{what}-{hashlib.sha256(named).hexdigest()[:32]}"
    rows.add_notice(db, event, f"{OWN}{what}.{rule.name}", msgspec.json.encode(data), now)
