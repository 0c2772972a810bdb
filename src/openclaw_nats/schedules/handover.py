"""Jobs and timers of other Gateways on this NATS, and taking one over from a Gateway that is gone.

A job must neither fire twice nor get lost, whenever this is interrupted: a paused copy is stored, then the other's
document and armed ticks are removed, then the copy begins after the last tick that fired there. Repeating goes on where
it ended.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from openclaw_nats.audit.act import Act
from openclaw_nats.audit.trail import Trail, Untraced
from openclaw_nats.errors import Conflict, InvalidInput, NotFound
from openclaw_nats.ports import ScheduleLog
from openclaw_nats.schedules import names
from openclaw_nats.schedules.cron_book import CronBook
from openclaw_nats.schedules.document import Job, Taken
from openclaw_nats.schedules.keeper import Keeper, job_of
from openclaw_nats.schedules.timer_book import Timer, TimerBook

log = structlog.get_logger(__name__)

_LISTS = "`openclaw-nats cron list --all` and `timers list --all` show what there is."


class Handover:
    """From other Gateways to this one; `why_not` says why nothing may be taken from a Gateway, empty when it may."""

    def __init__(
        self,
        schedule_log: ScheduleLog,
        keeper: Keeper,
        cron: CronBook,
        timers: TimerBook,
        gateway_id: str,
        why_not: Callable[[str], Awaitable[str]],
        clock: Callable[[], float] = time.time,
        trail: Trail | None = None,
    ) -> None:
        self._trail = trail or Untraced()
        self._log = schedule_log
        self._keeper = keeper
        self._cron = cron
        self._timers = timers
        self._gateway_id = gateway_id
        self._why_not = why_not
        self._clock = clock

    async def jobs(self) -> list[Job]:
        """The jobs of all other Gateways that this version can read."""
        found = []
        for record in await self._log.read(names.JOBS):
            with contextlib.suppress(InvalidInput):
                job = await self._keeper.owned(job_of(record))
                if job.gateway != self._gateway_id:
                    found.append(job)
        return sorted(found, key=lambda job: (job.gateway, job.name))

    async def timers(self) -> list[Timer]:
        """The timers of all other Gateways that this version can read."""
        return [timer for timer, _ in await self._timers.others()]

    async def take_job(self, name: str, gateway: str) -> Job:
        """Make a job of another Gateway one of this; raise NotFound, or Conflict when it may not be taken."""
        await self._check(gateway)
        async with self._trail.around(Act("cron.take", name, after={"gateway": gateway})):
            return await self._take_job(name, gateway)

    async def _take_job(self, name: str, gateway: str) -> Job:
        theirs = next((job for job in await self.jobs() if (job.name, job.gateway) == (name, gateway)), None)
        mine = await self._cron.find(name)
        begun = mine is not None and mine.stored.taken is not None and mine.stored.taken.gateway == gateway
        if theirs is None and not begun:
            raise _nothing("cron job", name, gateway)
        if mine is not None and not begun:
            raise Conflict(f"there is another cron job {name!r} here already", hint="Remove one of the two first.")
        if mine is None:
            assert theirs is not None  # noqa: S101  (nothing was begun)
            mine = await self._copy(theirs)
        taken = mine.stored.taken
        if taken is None:
            return mine
        if theirs is not None:
            await self._log.purge(names.job_subject(theirs.key))
        await self._keeper.settle(taken.key)  # its document is gone: so is what was armed
        document = msgspec.structs.replace(mine.stored.document, enabled=taken.enabled)
        since = max(mine.stored.since, await self._last_tick(taken.key))
        stored = msgspec.structs.replace(mine.stored, document=document, since=since, taken=None)
        log.info("cron.taken", job=name, gateway=gateway)
        return await self._cron.store(stored, mine)

    async def take_timer(self, name: str, gateway: str) -> Timer:
        """Make a timer of another Gateway one of this; raise NotFound, or Conflict when it may not be taken."""
        await self._check(gateway)
        for timer, record in await self._timers.others():
            if (timer.name, timer.gateway) == (name, gateway):
                async with self._trail.around(Act("timers.take", name, after={"gateway": gateway})):
                    return await self._timers.take(timer, record)
        raise _nothing("timer", name, gateway)

    async def _check(self, gateway: str) -> None:
        if gateway == self._gateway_id:
            raise Conflict(f"{gateway!r} is this Gateway", hint="What is its own needs not be taken.")
        if why := await self._why_not(gateway):
            raise Conflict(why)

    async def _copy(self, theirs: Job) -> Job:
        now, stored = self._clock(), theirs.stored
        taken = Taken(theirs.gateway, theirs.key, stored.document.enabled)
        document = msgspec.structs.replace(stored.document, enabled=False)
        copy = msgspec.structs.replace(
            stored, document=document, since=now, updated=now, gateway=self._gateway_id, taken=taken
        )
        return await self._cron.store(copy, None)

    async def _last_tick(self, key: str) -> float:
        """The newest tick of a job that fired or was skipped, in seconds since the Unix epoch; 0 for none."""
        ticks = [0.0]
        for pattern in (names.all_fired("cron", key), names.all_skipped(key)):
            record = await self._log.last(pattern)
            if record is not None and (tick := record.subject.split(".")[5]).isdecimal():
                ticks.append(float(tick))
        return max(ticks)


def _nothing(kind: str, name: str, gateway: str) -> NotFound:
    return NotFound(f"{gateway[:80]!r} has no {kind} {name[:80]!r}", hint=_LISTS)
