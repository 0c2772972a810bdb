"""`nats_cron_*` and `nats_timer_*`: schedules that an agent makes, within the operator's limits."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec

from openclaw_nats.agent_tools.answer import Answer, parameters
from openclaw_nats.agent_tools.caller import Caller
from openclaw_nats.agent_tools.limits import Limits
from openclaw_nats.errors import InvalidInput, NotAllowed, NotFound
from openclaw_nats.events.envelope import format_time
from openclaw_nats.schedules.cron import Cron, next_runs
from openclaw_nats.schedules.cron_book import CronBook
from openclaw_nats.schedules.document import Job
from openclaw_nats.schedules.names import check_name, default_subject
from openclaw_nats.schedules.timer_book import Timer, TimerBook

_LOOKED_AT = 30


class _Add(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    name: str
    cron: str
    subject: str | None = None
    payload: Any = None
    timezone: str | None = None
    priority: int | None = None
    missed: str | None = None


class _Change(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    name: str
    cron: str | None = None
    subject: str | None = None
    payload: Any = None
    timezone: str | None = None
    priority: int | None = None
    missed: str | None = None
    enabled: bool | None = None


class _Name(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    name: str


class _Nothing(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    pass


class _Timer(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    name: str
    delay_ms: float | None = None
    delay: str | None = None
    at: str | None = None
    subject: str | None = None
    payload: Any = None
    priority: int | None = None


class Scheduling:
    """Nine tools around the books of jobs and timers."""

    def __init__(
        self, limits: Limits, cron: CronBook, timers: TimerBook, timezone: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._limits = limits
        self._cron = cron
        self._timers = timers
        self._timezone = timezone
        self._clock = clock

    async def cron_add(self, caller: Caller, given: object) -> Answer:
        """Create a job; one of the same name that the agent made is replaced."""
        wanted = parameters(_Add, given)
        check_name(wanted.name)
        self._check(wanted.cron, wanted.timezone or self._timezone)
        self._limits.check_publish(wanted.subject or default_subject("cron", wanted.name))
        if (old := await self._job(wanted.name)) is not None:
            _own(caller, old.stored.origin.by, f"the cron job {wanted.name[:80]!r}")
        else:
            await self._count(caller)
        job, new = await self._cron.save(_fields(wanted), caller.origin)
        return Answer({"created": new, **self._view(caller, job)})

    async def cron_update(self, caller: Caller, given: object) -> Answer:
        """Change one of its own jobs."""
        wanted = parameters(_Change, given)
        job = await self._own_job(caller, wanted.name)
        changes = {key: value for key, value in _fields(wanted).items() if key != "name"}
        if not changes:
            raise InvalidInput("nothing to change was given", hint="For example cron, payload or enabled.")
        self._check(wanted.cron or job.stored.document.cron, wanted.timezone or job.stored.timezone)
        if wanted.subject is not None:
            self._limits.check_publish(wanted.subject)
        return Answer(self._view(caller, await self._cron.change(wanted.name, changes)))

    async def cron_remove(self, caller: Caller, given: object) -> Answer:
        """Remove one of its own jobs."""
        job = await self._own_job(caller, parameters(_Name, given).name)
        await self._cron.remove(job.name)
        return Answer({"removed": job.name})

    async def cron_list(self, caller: Caller, given: object) -> Answer:
        """All jobs: its own whole, others' without what they publish."""
        parameters(_Nothing, given)
        return Answer({"jobs": [self._view(caller, job) for job in await self._cron.every()]})

    async def cron_toggle(self, caller: Caller, given: object) -> Answer:
        """Pause or resume one of its own jobs."""
        job = await self._own_job(caller, parameters(_Name, given).name)
        return Answer(self._view(caller, await self._cron.change(job.name, {"enabled": not job.enabled})))

    async def cron_run(self, caller: Caller, given: object) -> Answer:
        """Fire one of its own jobs now."""
        job = await self._own_job(caller, parameters(_Name, given).name)
        self._limits.count_publish(caller.agent_id)
        fire = await self._cron.run(job.name, caller.origin)
        return Answer({"fired": job.name, "id": fire.event_id})

    async def timer_set(self, caller: Caller, given: object) -> Answer:
        """Set a timer, in place of one of the same name that the agent set."""
        wanted = parameters(_Timer, given)
        check_name(wanted.name)
        self._limits.check_publish(wanted.subject or default_subject("timer", wanted.name))
        old = next((one for one in await self._timers.every() if one.name == wanted.name), None)
        if old is not None:
            _own(caller, old.made_by, f"the timer {wanted.name[:80]!r}")
        else:
            await self._count(caller)
        timer, new = await self._timers.set(_fields(wanted), caller.origin)
        return Answer({"created": new, **_timer_view(caller, timer)})

    async def timer_cancel(self, caller: Caller, given: object) -> Answer:
        """Cancel one of its own timers."""
        name = parameters(_Name, given).name
        _own(caller, (await self._timers.named(name)).made_by, f"the timer {name[:80]!r}")
        await self._timers.cancel(name)
        return Answer({"cancelled": name})

    async def timer_list(self, caller: Caller, given: object) -> Answer:
        """All timers: its own whole, others' without what they publish."""
        parameters(_Nothing, given)
        return Answer({"timers": [_timer_view(caller, timer) for timer in await self._timers.every()]})

    def _check(self, expression: str, timezone: str) -> None:
        runs = next_runs(Cron(expression, timezone), self._clock(), _LOOKED_AT)
        shortest = min((later - earlier for earlier, later in pairwise(runs)), default=float("inf"))
        if shortest < self._limits.min_interval:
            raise NotAllowed(
                f"cron {expression!r} runs every {shortest:g} s; {self._limits.min_interval:g} s is the shortest here",
                hint="For example */5 * * * * runs every 5 minutes.",
            )

    async def _count(self, caller: Caller) -> None:
        jobs = [job for job in await self._cron.every() if caller.made(job.stored.origin.by)]
        timers = [timer for timer in await self._timers.every() if caller.made(timer.made_by)]
        if len(jobs) + len(timers) >= self._limits.max_schedules:
            raise NotAllowed(
                f"you have {len(jobs)} cron jobs and {len(timers)} timers, which is the limit",
                hint="Remove one with nats_cron_remove or nats_timer_cancel.",
            )

    async def _job(self, name: str) -> Job | None:
        try:
            return await self._cron.named(name)
        except NotFound:
            return None

    async def _own_job(self, caller: Caller, name: str) -> Job:
        job = await self._job(name)
        if job is None:
            raise NotFound(f"there is no cron job {name[:80]!r}", hint="nats_cron_list lists them.")
        _own(caller, job.stored.origin.by, f"the cron job {name[:80]!r}")
        return job

    def _view(self, caller: Caller, job: Job) -> dict[str, Any]:
        document, by = job.stored.document, job.stored.origin.by
        runs = next_runs(job.cron, self._clock(), 3) if job.enabled else []
        found = {
            "name": job.name,
            "cron": document.cron,
            "timezone": job.stored.timezone,
            "enabled": job.enabled,
            "nextRuns": [format_time(run * 1000) for run in runs],
            "subject": job.subject,
            "yours": caller.made(by),
            "madeBy": by or "operator",
        }
        return found | ({"payload": document.payload, "missed": document.missed} if caller.made(by) else {})


def _own(caller: Caller, made_by: str, what: str) -> None:
    if not caller.made(made_by):
        raise NotAllowed(f"{what} was made by {made_by or 'the operator'}, not by you", hint="Use another name.")


def _fields(wanted: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(wanted)
    return {key: value for key, value in found.items() if value is not None}


def _timer_view(caller: Caller, timer: Timer) -> dict[str, Any]:
    found = {
        "name": timer.name,
        "at": format_time(round(timer.at * 1000)),
        "subject": timer.subject,
        "yours": caller.made(timer.made_by),
        "madeBy": timer.made_by or "operator",
    }
    return found | ({"payload": timer.payload} if caller.made(timer.made_by) else {})
