"""`/api/cron` and `/api/timers`: list, create, change, remove, run now, pause, history."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from openclaw_nats.api.json_answers import json_body, json_response
from openclaw_nats.api.names_in_paths import name_of
from openclaw_nats.api.queries import limit_of, parameters
from openclaw_nats.contract import fields
from openclaw_nats.contract import schedules as shapes
from openclaw_nats.events.envelope import format_time
from openclaw_nats.inbound.inbox_service import InboxService
from openclaw_nats.schedules.cron import next_runs
from openclaw_nats.schedules.cron_book import CronBook, Fire
from openclaw_nats.schedules.document import Job, Unreadable
from openclaw_nats.schedules.timer_book import Timer, TimerBook

MAX_BODY = 512 * 1024
SHOWN_RUNS = 3


class CronEndpoints:
    """The handlers of cron jobs."""

    def __init__(self, book: CronBook, inbox: InboxService) -> None:
        self._book = book
        self._inbox = inbox

    async def jobs(self, request: Request) -> Response:
        """GET: all jobs. POST: create a job, or replace the one of that name."""
        if request.method == "POST":
            job, new = await self._book.save(await json_body(request, MAX_BODY))
            return json_response(await self._view(job), 201 if new else 200)
        jobs, unreadable = await self._book.all()
        last = await self._book.last_runs(jobs)
        found = [job_view(job, run) for job, run in zip(jobs, last, strict=True)]
        return json_response(shapes.Jobs(found, _unreadable(unreadable)))

    async def job(self, request: Request) -> Response:
        """GET, PATCH, DELETE one job."""
        name = name_of(request)
        if request.method == "DELETE":
            await self._book.remove(name)
            return Response(status_code=204)
        if request.method == "PATCH":
            return json_response(await self._view(await self._book.change(name, await json_body(request, MAX_BODY))))
        return json_response(await self._view(await self._book.named(name)))

    async def run(self, request: Request) -> Response:
        """Fire a job now."""
        fire = await self._book.run(name_of(request))
        return json_response(shapes.Fired(fire.event_id, _time(fire.at)))

    async def pause(self, request: Request) -> Response:
        """Disable a job: it does not fire until it is resumed."""
        return json_response(await self._view(await self._book.change(name_of(request), {"enabled": False})))

    async def resume(self, request: Request) -> Response:
        """Enable a job: its next run is the next one from now on."""
        return json_response(await self._view(await self._book.change(name_of(request), {"enabled": True})))

    async def history(self, request: Request) -> Response:
        """The newest runs of a job, and what became of each."""
        limit = min(limit_of(parameters(request, ("limit",))), 150)
        fires = await self._book.history(name_of(request), limit)
        deliveries = await self._inbox.of_events([fire.event_id for fire in fires if fire.event_id])
        runs = [shapes.HistoryRun(**_fire(fire), deliveries=deliveries.get(fire.event_id, [])) for fire in fires]
        return json_response(shapes.History(runs))

    async def _view(self, job: Job) -> shapes.Job:
        return job_view(job, (await self._book.last_runs([job]))[0])


class TimerEndpoints:
    """The handlers of timers."""

    def __init__(self, book: TimerBook) -> None:
        self._book = book

    async def timers(self, request: Request) -> Response:
        """GET: all timers that have not fired. POST: set one, in place of one of that name."""
        if request.method == "POST":
            timer, new = await self._book.set(await json_body(request, MAX_BODY))
            return json_response(timer_view(timer), 201 if new else 200)
        timers, unreadable = await self._book.all()
        return json_response(shapes.Timers([timer_view(one) for one in timers], _unreadable(unreadable)))

    async def timer(self, request: Request) -> Response:
        """GET or DELETE one timer."""
        if request.method == "DELETE":
            await self._book.cancel(name_of(request))
            return Response(status_code=204)
        return json_response(timer_view(await self._book.named(name_of(request))))


def _unreadable(found: list[Unreadable]) -> list[fields.Unreadable] | UnsetType:
    """What a list adds when there are some that this version can't read."""
    return [fields.Unreadable(one.name, one.reason) for one in found] or UNSET


def job_view(job: Job, last: Fire | None) -> shapes.Job:
    """A job as people see it. `nextRuns` are in UTC; it is empty for a job that is paused."""
    stored, document = job.stored, job.stored.document
    coming = next_runs(job.cron, datetime.now().timestamp(), SHOWN_RUNS) if document.enabled else []
    return shapes.Job(
        name=document.name,
        cron=document.cron,
        timezone=stored.timezone,
        subject=job.subject,
        payload=document.payload,
        priority=document.priority,
        enabled=document.enabled,
        missed=document.missed,
        wake=document.wake,
        instruction=document.instruction.strip(),
        next_runs=[_time(tick) for tick in coming],
        last_run=shapes.Fire(**_fire(last)) if last is not None else None,
        made_by=stored.origin.by,
        made_in=stored.origin.session,
        created_at=_time(stored.created),
        updated_at=_time(stored.updated),
    )


def _fire(fire: Fire) -> dict[str, Any]:
    """The fields of one run."""
    return {
        "outcome": fire.outcome,
        "scheduled_for": _time(fire.scheduled),
        "at": _time(fire.at),
        "manual": fire.manual,
        "event": fire.event_id or None,
    }


def timer_view(timer: Timer) -> shapes.Timer:
    """A timer as people see it."""
    return shapes.Timer(
        name=timer.name,
        at=_time(timer.at),
        subject=timer.subject,
        payload=timer.payload,
        priority=timer.priority,
        wake=timer.wake,
        instruction=timer.instruction,
        made_by=timer.made_by,
        made_in=timer.session,
        created_at=_time(timer.created),
    )


def _time(seconds: float) -> str:
    return format_time(round(seconds * 1000))
