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
from openclaw_nats.contract import tool_results as results
from openclaw_nats.contract import tools
from openclaw_nats.errors import InvalidInput, NotAllowed, NotFound
from openclaw_nats.events.envelope import format_time
from openclaw_nats.events.makers import Maker
from openclaw_nats.schedules.cron import Cron, next_runs
from openclaw_nats.schedules.cron_book import CronBook
from openclaw_nats.schedules.document import Job
from openclaw_nats.schedules.names import check_name, own_subject
from openclaw_nats.schedules.timer_book import Timer, TimerBook

_LOOKED_AT = 30


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
        wanted = parameters(tools.AddJob, given)
        check_name(wanted.name)
        self._check(wanted.cron, wanted.timezone or self._timezone)
        old = await self._job(wanted.name)
        if old is not None:
            _free(caller, old.stored.origin.maker, f"a cron job {wanted.name[:80]!r}")
        else:
            await self._count(caller)
        kept = old.subject if old is not None and old.stored.document.subject is None else ""  # of 0.1.0: as it was
        subject = wanted.subject or kept or own_subject(caller.agent_id, "cron", wanted.name)
        if subject != kept:
            await self._limits.check_publish(caller.agent_id, subject)
        job, new = await self._cron.save({**_fields(caller, wanted), "subject": subject}, caller.origin)
        result = self._view(caller, job)
        result.created = new
        return Answer(result)

    async def cron_update(self, caller: Caller, given: object) -> Answer:
        """Change one of its own jobs."""
        wanted = parameters(tools.UpdateJob, given)
        job = await self._own_job(caller, wanted.name)
        changes = {key: value for key, value in _fields(caller, wanted).items() if key != "name"}
        if not changes:
            raise InvalidInput("nothing to change was given", hint="For example cron, payload or enabled.")
        self._check(wanted.cron or job.stored.document.cron, wanted.timezone or job.stored.timezone)
        if wanted.subject is not None:
            await self._limits.check_publish(caller.agent_id, wanted.subject)
        return Answer(self._view(caller, await self._cron.change(wanted.name, changes, caller.origin)))

    async def cron_remove(self, caller: Caller, given: object) -> Answer:
        """Remove one of its own jobs."""
        job = await self._own_job(caller, parameters(tools.RemoveJob, given).name)
        await self._cron.remove(job.name)
        return Answer(results.JobRemoved(job.name))

    async def cron_list(self, caller: Caller, given: object) -> Answer:
        """Its own jobs, and the operator's without what they publish."""
        parameters(tools.ListJobs, given)
        shown = [job for job in await self._cron.every() if _shown(caller, job.stored.origin.maker)]
        return Answer(results.JobViews([self._view(caller, job) for job in shown]))

    async def cron_toggle(self, caller: Caller, given: object) -> Answer:
        """Pause or resume one of its own jobs."""
        job = await self._own_job(caller, parameters(tools.ToggleJob, given).name)
        return Answer(
            self._view(caller, await self._cron.change(job.name, {"enabled": not job.enabled}, caller.origin))
        )

    async def cron_run(self, caller: Caller, given: object) -> Answer:
        """Fire one of its own jobs now."""
        job = await self._own_job(caller, parameters(tools.RunJob, given).name)
        self._limits.count_publish(caller.agent_id)
        fire = await self._cron.run(job.name, caller.origin)
        return Answer(results.JobFired(job.name, fire.event_id))

    async def timer_set(self, caller: Caller, given: object) -> Answer:
        """Set a timer, in place of one of the same name that the agent set."""
        wanted = parameters(tools.SetTimer, given)
        check_name(wanted.name)
        subject = wanted.subject or own_subject(caller.agent_id, "timer", wanted.name)
        await self._limits.check_publish(caller.agent_id, subject)
        old = next((one for one in await self._timers.every() if one.name == wanted.name), None)
        if old is not None:
            _free(caller, old.maker, f"a timer {wanted.name[:80]!r}")
        else:
            await self._count(caller)
        timer, new = await self._timers.set({**_fields(caller, wanted), "subject": subject}, caller.origin)
        result = _timer_view(caller, timer)
        result.created = new
        return Answer(result)

    async def timer_cancel(self, caller: Caller, given: object) -> Answer:
        """Cancel one of its own timers."""
        name = parameters(tools.CancelTimer, given).name
        maker = (await self._timers.named(name)).maker
        if maker is not None and not caller.maker.may_change(maker):
            raise NotFound(f"there is no timer {name[:80]!r}", hint="nats_timer_list lists them.")
        _own(caller, maker, f"the timer {name[:80]!r}")
        await self._timers.cancel(name)
        return Answer(results.TimerCancelled(name))

    async def timer_list(self, caller: Caller, given: object) -> Answer:
        """Its own timers, and the operator's without what they publish."""
        parameters(tools.ListTimers, given)
        shown = [timer for timer in await self._timers.every() if _shown(caller, timer.maker)]
        return Answer(results.TimerViews([_timer_view(caller, timer) for timer in shown]))

    def _check(self, expression: str, timezone: str) -> None:
        runs = next_runs(Cron(expression, timezone), self._clock(), _LOOKED_AT)
        shortest = min((later - earlier for earlier, later in pairwise(runs)), default=float("inf"))
        if shortest < self._limits.min_interval:
            raise NotAllowed(
                f"cron {expression!r} runs every {shortest:g} s; {self._limits.min_interval:g} s is the shortest here",
                hint="For example */5 * * * * runs every 5 minutes.",
            )

    async def _count(self, caller: Caller) -> None:
        jobs = [job for job in await self._cron.every() if job.stored.origin.agent == caller.agent_id]
        timers = [timer for timer in await self._timers.every() if timer.maker and timer.maker.agent == caller.agent_id]
        if len(jobs) + len(timers) >= self._limits.max_schedules:
            raise NotAllowed(
                f"this agent has {len(jobs)} cron jobs and {len(timers)} timers, which is the limit",
                hint="Remove one with nats_cron_remove or nats_timer_cancel.",
            )

    async def _job(self, name: str) -> Job | None:
        try:
            return await self._cron.named(name)
        except NotFound:
            return None

    async def _own_job(self, caller: Caller, name: str) -> Job:
        job = await self._job(name)
        maker = job.stored.origin.maker if job is not None else None
        if job is None or (maker is not None and not caller.maker.may_change(maker)):
            raise NotFound(f"there is no cron job {name[:80]!r}", hint="nats_cron_list lists them.")
        _own(caller, maker, f"the cron job {name[:80]!r}")
        return job

    def _view(self, caller: Caller, job: Job) -> results.JobView:
        document, maker = job.stored.document, job.stored.origin.maker
        runs = next_runs(job.cron, self._clock(), 3) if job.enabled else []
        found = results.JobView(
            name=job.name,
            cron=document.cron,
            timezone=job.stored.timezone,
            enabled=job.enabled,
            next_runs=[format_time(run * 1000) for run in runs],
            subject=job.subject,
            yours=caller.maker.may_change(maker),
            made_by=maker.mark if maker is not None else "operator",
        )
        if found.yours:
            found.payload, found.missed = document.payload, document.missed
            if document.wake is not None:
                found.wake, found.instruction = document.wake, document.instruction
        return found


def _own(caller: Caller, maker: Maker | None, what: str) -> None:
    if not caller.maker.may_change(maker):
        raise NotAllowed(f"{what} was made by the operator, not by you", hint="Use another name.")


def _free(caller: Caller, maker: Maker | None, what: str) -> None:
    """The name of something that is there already: it may only be used again by who made that."""
    if maker is None:
        raise NotAllowed(f"there is {what} already, made by the operator", hint="Use another name.")
    if not caller.maker.may_change(maker):
        raise NotAllowed(f"there is {what} already, and it is not yours", hint="Use another name.")


def _shown(caller: Caller, maker: Maker | None) -> bool:
    """Whether a list names it: other agents and conversations make theirs for themselves."""
    return maker is None or caller.maker.may_change(maker)


def _fields(caller: Caller, wanted: Any) -> dict[str, Any]:
    """What was given. Whom it wakes is the agent's own; an instruction without that is for this session."""
    found: dict[str, Any] = msgspec.to_builtins(wanted)
    found = {key: value for key, value in found.items() if value is not None}
    new = not isinstance(wanted, tools.UpdateJob)
    if "wake" in found or (new and found.get("instruction")):
        found["wake"] = caller.session_for(found.get("wake"))
    return found


def _timer_view(caller: Caller, timer: Timer) -> results.TimerView:
    found = results.TimerView(
        name=timer.name,
        at=format_time(round(timer.at * 1000)),
        subject=timer.subject,
        yours=caller.maker.may_change(timer.maker),
        made_by=timer.maker.mark if timer.maker is not None else "operator",
    )
    if found.yours:
        found.payload = timer.payload
        if timer.wake is not None:
            found.wake, found.instruction = timer.wake, timer.instruction
    return found
