"""What fired lately, over all jobs and timers."""

from __future__ import annotations

from typing import Any

import msgspec

from openclaw_nats.events.lateness import too_late
from openclaw_nats.ports import Record, ScheduleLog
from openclaw_nats.schedules import names
from openclaw_nats.schedules.keeper import job_of

_KINDS = {"cron": "cron", "manual": "cron", "timer": "timer"}


async def fires(log: ScheduleLog, limit: int) -> list[dict[str, Any]]:
    """The newest runs of jobs and timers, newest first; `at` is seconds since the Unix epoch."""
    jobs = {job.key: job.name for job in (job_of(record) for record in await log.read(names.JOBS))}
    found = []
    for outcome in ("fired", "skipped"):
        for record in await log.read(f"agent.schedules.{outcome}.>"):
            _, _, _, kind, key, *_ = record.subject.split(".")
            if kind in _KINDS:
                found.append(_fire(record, outcome, kind, jobs.get(key, key)))
    return sorted(found, key=lambda one: -one["at"])[:limit]


def _fire(record: Record, outcome: str, kind: str, name: str) -> dict[str, Any]:
    event: Any = {}
    if outcome == "fired":
        event = msgspec.json.decode(record.body)
        note = event["data"].get("_timer") or {}
        name = note.get("name", name)
        if too_late(record.headers, record.time) is not None:
            outcome = "skipped"
    return {
        "kind": _KINDS[kind],
        "name": name,
        "outcome": outcome,
        "manual": kind == "manual",
        "at": record.time,
        "subject": event.get("subject", ""),
        "event": event.get("id"),
    }
