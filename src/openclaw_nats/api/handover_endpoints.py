"""`/api/schedules`: jobs and timers of other Gateways on this NATS, and taking one over."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from openclaw_nats.api.json_answers import json_body, json_response
from openclaw_nats.api.problems import Malformed
from openclaw_nats.api.queries import parameters
from openclaw_nats.api.schedule_endpoints import job_view, timer_view
from openclaw_nats.contract import schedules as shapes
from openclaw_nats.contract.checking import check
from openclaw_nats.schedules.document import Job
from openclaw_nats.schedules.handover import Handover
from openclaw_nats.schedules.timer_book import Timer


class HandoverEndpoints:
    """The handlers."""

    def __init__(self, handover: Handover) -> None:
        self._handover = handover

    async def others(self, request: Request) -> Response:
        """All that other Gateways have; payloads are theirs, and not shown."""
        parameters(request, ())
        jobs = [_other_job(job) for job in await self._handover.jobs()]
        return json_response(shapes.OtherSchedules(jobs, [_other_timer(one) for one in await self._handover.timers()]))

    async def take(self, request: Request) -> Response:
        """Take one over."""
        asked = check(await json_body(request), shapes.TakeOver, "the body", Malformed)
        if asked.kind == "cron":
            return json_response(job_view(await self._handover.take_job(asked.name, asked.gateway), None))
        return json_response(timer_view(await self._handover.take_timer(asked.name, asked.gateway)))


def _other_job(job: Job) -> shapes.OtherJob:
    shown = job_view(job, None)
    return shapes.OtherJob(
        gateway=job.gateway,
        name=shown.name,
        cron=shown.cron,
        timezone=shown.timezone,
        subject=shown.subject,
        enabled=shown.enabled,
        next_runs=shown.next_runs,
        made_by=shown.made_by,
    )


def _other_timer(timer: Timer) -> shapes.OtherTimer:
    shown = timer_view(timer)
    return shapes.OtherTimer(timer.gateway, shown.name, shown.at, shown.subject, shown.made_by)
