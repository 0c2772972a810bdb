"""Notices cron jobs that are gone from the schedules stream though nobody removed them with openclaw-nats.

The stream holds the jobs. Whoever deletes it (`nats stream rm`), puts an older store in its place or fills it takes
them along, and a job that is gone fires nothing and fails nowhere. So the names are kept here, too.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta

import msgspec
import structlog

from openclaw_nats.contract.health import LostJobs
from openclaw_nats.events.bus_events import bus_message
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.events.identity import Identity
from openclaw_nats.ports import EventLog
from openclaw_nats.storage import inbox
from openclaw_nats.storage.database import Database

log = structlog.get_logger(__name__)

JOBS_LOST = "agent.events.bus.jobs_lost"
_FACT = "cron jobs"
_SHOWN = timedelta(days=7).total_seconds()
_NAMES = 100  # in the event; the count is of all


class Known(msgspec.Struct, rename="camel", frozen=True):
    """A job that was in the stream: its name, and since when it is known here."""

    name: str
    since: float


class Account(msgspec.Struct, rename="camel", frozen=True):
    """What is kept: the jobs by key, and those that were lost and are not back, by name, with when it was noticed."""

    jobs: dict[str, Known] = {}
    lost: dict[str, float] = {}


class MissingJobs:
    """The jobs of one Gateway. The keeper shows what it finds in the stream (schedules/keeper.py)."""

    def __init__(
        self,
        database: Database,
        events: EventLog,
        identity: Identity,
        gateway_id: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._events = events
        self._identity = identity
        self._gateway_id = gateway_id
        self._clock = clock
        text = database.now(lambda db: inbox.fact(db, _FACT))
        self._kept = msgspec.json.decode(text, type=Account) if text else Account()

    def report(self) -> LostJobs | None:
        """The part of the health report; None when no job is missing. One that was added again is not missing."""
        lost = {name: at for name, at in self._kept.lost.items() if self._clock() - at < _SHOWN}
        return LostJobs(sorted(lost), format_seconds(max(lost.values()))) if lost else None

    async def removing(self, key: str) -> None:
        """A job goes because somebody asked for it."""
        if key in self._kept.jobs:
            await self._keep(Account({k: job for k, job in self._kept.jobs.items() if k != key}, self._kept.lost))

    async def look(self, mine: Mapping[str, str], there: Collection[str]) -> None:
        """Compare with the stream; raise Unavailable. `mine`: names by key of the jobs read; `there`: every key."""
        kept, now = self._kept, self._clock()
        gone = {key: job for key, job in kept.jobs.items() if key not in there}
        jobs = {key: job for key, job in kept.jobs.items() if key not in gone}
        jobs |= {key: Known(name, now) for key, name in mine.items() if key not in jobs or jobs[key].name != name}
        names = {job.name for job in jobs.values()}
        lost = {name: at for name, at in kept.lost.items() if name not in names and now - at < _SHOWN}
        if missing := sorted({job.name for job in gone.values()} - names):
            await self._publish(missing, gone, now)
            lost |= dict.fromkeys(missing, now)
        if (jobs, lost) != (kept.jobs, kept.lost):
            await self._keep(Account(jobs, lost))

    async def _publish(self, missing: list[str], gone: Mapping[str, Known], now: float) -> None:
        """Say it as an event before it is kept: after a crash it is said again, under the same id."""
        log.error("cron.jobs_lost", jobs=missing)
        named = " ".join([self._gateway_id, *(f"{key} {gone[key].since}" for key in sorted(gone))])
        message = bus_message(
            self._identity,
            self._gateway_id,
            JOBS_LOST,
            {"jobs": missing[:_NAMES], "count": len(missing)},
            event_id=f"jobs-lost-{hashlib.sha256(named.encode()).hexdigest()[:32]}",
            milliseconds=int(now * 1000),
        )
        await self._events.append([message])

    async def _keep(self, account: Account) -> None:
        text = msgspec.json.encode(account).decode()
        await self._database.write(lambda db: inbox.set_fact(db, _FACT, text))
        self._kept = account
