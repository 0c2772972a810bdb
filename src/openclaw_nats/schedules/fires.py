"""What fired lately, over all jobs and timers."""

from __future__ import annotations

import contextlib
from typing import Any, Literal

from openclaw_nats.contract.deliveries import FireLine
from openclaw_nats.errors import InvalidInput
from openclaw_nats.events import json_text
from openclaw_nats.events.envelope import format_time
from openclaw_nats.events.lateness import too_late
from openclaw_nats.ports import Record, ScheduleLog
from openclaw_nats.schedules import names
from openclaw_nats.schedules.keeper import job_of

_KINDS: dict[str, Literal["cron", "timer"]] = {"cron": "cron", "manual": "cron", "timer": "timer"}


async def fires(log: ScheduleLog, limit: int, gateway_id: str) -> list[FireLine]:
    """The newest runs of a Gateway's jobs and timers, newest first."""
    jobs: dict[str, str] = {}
    for record in await log.read(names.JOBS):
        with contextlib.suppress(InvalidInput):  # its runs are listed under its key
            job = job_of(record)
            jobs[job.key] = job.name
    found = []
    for outcome in ("fired", "skipped"):
        for record in await log.read(f"agent.schedules.{outcome}.>"):
            _, _, _, kind, key, *_ = [*record.subject.split("."), ""]
            if not names.may_be_of(gateway_id, key):
                continue
            if kind in _KINDS and (fire := _fire(record, outcome, kind, jobs.get(key, key), gateway_id)) is not None:
                found.append((record.time, fire))
    return [fire for _, fire in sorted(found, key=lambda one: -one[0])[:limit]]


def _fire(record: Record, outcome: str, kind: str, name: str, gateway_id: str) -> FireLine | None:
    event: Any = {}
    if outcome == "fired":
        try:
            event = json_text.shown(record.body)
            if event.get("gatewayid") not in (None, "", gateway_id):
                return None
            note = event["data"].get("_timer") or {}
            name = str(note.get("name", name))
        except Exception:  # anything may stand there
            return None
        if too_late(record.headers, record.time) is not None:
            outcome = "skipped"
    return FireLine(
        kind=_KINDS[kind],
        name=name,
        outcome=outcome,
        manual=kind == "manual",
        at=format_time(round(record.time * 1000)),
        subject=str(event.get("subject", "")),
        event=None if event.get("id") is None else str(event["id"]),
    )
