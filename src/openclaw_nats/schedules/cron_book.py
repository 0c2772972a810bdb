"""Cron jobs: create, change, remove, run now, list, history. They lie in the schedules stream, for all sidecars."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import msgspec
import structlog

from openclaw_nats.audit.act import Act
from openclaw_nats.audit.trail import Trail, Untraced
from openclaw_nats.contract.schedules import JobDocument
from openclaw_nats.errors import Conflict, InvalidInput, InvalidSchedule, NotFound
from openclaw_nats.events import envelope
from openclaw_nats.events.envelope import Event
from openclaw_nats.events.lateness import too_late
from openclaw_nats.events.origin import Origin as Said
from openclaw_nats.ports import Record, ScheduleLog, Wake
from openclaw_nats.schedules import names
from openclaw_nats.schedules.document import (
    Job,
    Origin,
    StoredJob,
    Unreadable,
    compile_job,
    job_event,
    parse_job,
    unreadable,
)
from openclaw_nats.schedules.keeper import Keeper, job_of
from openclaw_nats.schedules.waking import Waking, job_owner, job_wake

log = structlog.get_logger(__name__)

MAX_JOBS = 1000
_FIRED = ("cron", "manual")
OPERATOR = Origin()


@dataclass(frozen=True, slots=True)
class Fire:
    """One entry of a job's history. `outcome` is fired, or skipped; times are seconds since the Unix epoch."""

    outcome: str
    scheduled: float
    at: float
    manual: bool = False
    event_id: str = ""


class CronBook:
    """This Gateway's cron jobs."""

    def __init__(
        self,
        schedule_log: ScheduleLog,
        keeper: Keeper,
        gateway_id: str,
        timezone: str,
        prepare: Callable[[Event], Awaitable[bytes]],
        seal: Callable[[str, bytes, Said], Mapping[str, str]] = lambda subject, body, origin: {},
        clock: Callable[[], float] = time.time,
        waking: Waking | None = None,
        trail: Trail | None = None,
    ) -> None:
        self._trail = trail or Untraced()
        self._log = schedule_log
        self._keeper = keeper
        self._gateway_id = gateway_id
        self._timezone = timezone
        self._prepare = prepare
        self._seal = seal
        self._clock = clock
        self._waking = waking or Waking(schedule_log, gateway_id)

    async def every(self) -> list[Job]:
        """All jobs that this version can read, by name."""
        return (await self.all())[0]

    async def all(self) -> tuple[list[Job], list[Unreadable]]:
        """All jobs by name, and those that this version can't read."""
        jobs: list[Job] = []
        others: list[Unreadable] = []
        for record in await self._log.read(names.JOBS):
            if not names.may_be_of(self._gateway_id, names.key_of_job(record.subject)):
                continue
            try:
                job = await self._keeper.owned(job_of(record))
                if job.gateway == self._gateway_id:
                    jobs.append(job)
            except InvalidInput as error:
                others.append(Unreadable(_name_of(record), str(error)))
        return sorted(jobs, key=lambda job: job.name), sorted(others, key=lambda one: one.name)

    async def wakes(self) -> dict[str, Wake | None]:
        """Whom each job wakes, by owner; None for one that can't be read (Waking.settle)."""
        jobs, others = await self.all()
        wanted: dict[str, Wake | None] = {job_owner(one.name): None for one in others}
        if others:  # their names may be their keys: nothing that is there is theirs for sure
            wanted |= dict.fromkeys(self._waking.job_owners())
        for job in jobs:
            document = job.stored.document
            if document.wake is not None and job.vouched:
                wanted[job_owner(job.name)] = job_wake(document, job.subject, job.author.mark)
        return wanted

    async def named(self, name: str) -> Job:
        """One job; raise NotFound, or InvalidSchedule for one that this version can't read."""
        job = await self.find(name)
        if job is None:
            raise await self._why_missing(name)
        return job

    async def _why_missing(self, name: str) -> InvalidInput:
        """There is none, or one that can't be read is listed under that name: its key."""
        reason = next((one.reason for one in (await self.all())[1] if one.name == name), "")
        return unreadable("cron job", name, reason, "cron remove") if reason else _unknown(name)

    async def find(self, name: str) -> Job | None:
        """This Gateway's job of a name, if there is one; raise InvalidSchedule for one that can't be read."""
        for key in (names.key_in(self._gateway_id, name), names.key_of(name)):
            record = await self._log.last(names.job_subject(key))
            if record is not None:
                try:
                    job = await self._keeper.owned(job_of(record))
                except InvalidInput as error:
                    raise unreadable("cron job", name, str(error), "cron remove") from None
                if job.gateway == self._gateway_id:
                    return job
        return None

    async def save(self, value: object, origin: Origin = OPERATOR) -> tuple[Job, bool]:
        """Create the job, or replace the one of that name; (the job, whether it is new)."""
        document = parse_job(value)
        names.check_name(document.name)
        old = await self.find(document.name)
        if old is None and len(await self._log.subjects(names.JOBS)) >= MAX_JOBS:
            raise InvalidSchedule(f"there are {MAX_JOBS} cron jobs already")
        return await self._put(document, old, origin), old is None

    async def change(self, name: str, changes: object, by: Origin | None = None) -> Job:
        """Change some fields of a job; null resets one to its default. `by` is the agent that does, if one does: what
        has led to its turn has led to the job from then on.
        """
        if not isinstance(changes, dict):
            raise InvalidSchedule("the changes must be a JSON object")
        old = await self.named(name)
        merged = {**msgspec.to_builtins(old.stored.document), **changes}
        document = parse_job({key: value for key, value in merged.items() if value is not None})
        if document.name != name:
            raise InvalidSchedule("name can't be changed: add a job of the new name, and remove this one")
        origin = old.stored.origin
        if by is not None:
            tainted, hops = origin.tainted or by.tainted, max(origin.hops, by.hops)
            origin = msgspec.structs.replace(origin, tainted=tainted, hops=hops, cause=by.cause)
        return await self._put(document, old, origin)

    async def remove(self, name: str) -> None:
        """Remove a job, be it one that this version can't read; what was armed does not fire."""
        record = await self._record_of(name)
        async with self._trail.around(Act("cron.remove", name, _document_of(record))), self._waking.lock:
            await self._keeper.removing(names.key_of_job(record.subject))
            await self._log.purge(record.subject)
            await self._waking.remove_job(name)
        await self._keeper.settle(names.key_of_job(record.subject))
        log.info("cron.removed", job=name)

    async def _record_of(self, name: str) -> Record:
        """The message of a stored job. One that can't be read may have no name but its key."""
        for key in (names.key_in(self._gateway_id, name), names.key_of(name)):
            record = await self._log.last(names.job_subject(key))
            if record is not None and await self._is_mine(record):
                return record
        for record in await self._log.read(names.JOBS):  # its subject may be of a form that no version of ours writes
            may_be = names.may_be_of(self._gateway_id, names.key_of_job(record.subject)) and _name_of(record) == name
            if may_be and await self._is_mine(record):
                return record
        raise _unknown(name)

    async def _is_mine(self, record: Record) -> bool:
        try:
            return (await self._keeper.owned(job_of(record))).gateway == self._gateway_id
        except InvalidInput:
            return True  # it can't be read: whoever finds it may remove it

    async def run(self, name: str, origin: Origin | None = None) -> Fire:
        """Fire a job now, enabled or not; the ticks go on as they were. `origin` says who asks, if not its maker."""
        job, now = await self.named(name), self._clock()
        event = job_event(job, now, now, manual=True)
        if origin is not None:
            event = msgspec.structs.replace(event, hops=max(event.hops, origin.hops), causationid=origin.cause)
        where = names.fired("manual", job.key, int(now * 1000), job.subject)
        body = await self._prepare(event)
        said = job.said if origin is None else Said(job.said.name, job.said.tainted or origin.tainted)
        async with self._trail.around(Act("cron.run", name)):
            await self._log.write(where, body, headers=self._seal(job.subject, body, said))
        return Fire("fired", now, now, True, event.id)

    async def history(self, name: str, limit: int) -> list[Fire]:
        """The newest runs of a job, newest first, skipped ones included."""
        job = await self.named(name)
        records = await self._log.read(names.history(job.key))
        found = [fire for record in records if (fire := _fire(record)) is not None]
        return sorted(found, key=lambda fire: -fire.at)[:limit]

    async def last_runs(self, jobs: list[Job]) -> list[Fire | None]:
        """The newest run of each job, by itself or by hand."""
        kinds = [asyncio.gather(*(self._log.last(names.all_fired(kind, job.key)) for job in jobs)) for kind in _FIRED]
        by_kind = await asyncio.gather(*kinds)
        return [_newest([record for record in records if record is not None]) for records in zip(*by_kind, strict=True)]

    async def _put(self, document: JobDocument, old: Job | None, origin: Origin) -> Job:
        now = self._clock()
        timezone = document.timezone or self._timezone
        before = old.stored if old is not None else None
        same_times = before is not None and (before.document.cron, before.timezone, before.document.enabled) == (
            document.cron,
            timezone,
            document.enabled,
        )
        stored = StoredJob(
            document=document,
            timezone=timezone,
            since=before.since if before is not None and same_times else now,
            created=before.created if before is not None else now,
            updated=now,
            origin=origin,
            gateway=self._gateway_id,
        )
        return await self.store(stored, old)

    async def store(self, stored: StoredJob, old: Job | None) -> Job:
        """Store a job of this Gateway in place of `old`, and arm it; raise Conflict when `old` is not what is there."""
        now, name = self._clock(), stored.document.name
        key = old.key if old is not None else names.key_in(self._gateway_id, name)
        job = compile_job(stored, 0, key)
        await self._prepare(job_event(job, now, now))  # refused now rather than at its first tick
        body = msgspec.json.encode(stored)
        if len(body) > envelope.MAX_EVENT_BYTES:
            raise InvalidSchedule("the job is too large")
        before = old.stored.document if old is not None else None
        act = Act("cron.add" if old is None else "cron.change", name, before, stored.document)
        try:
            async with self._trail.around(act), self._waking.lock:
                await self._waking.put_job(stored.document, job.subject, stored.origin.mark)
                await self._log.purge(names.all_armed(job.key))
                revision = await self._log.write(
                    names.job_subject(job.key), body, revision=old.revision if old is not None else 0
                )
                if stored.document.wake is None:
                    await self._waking.remove_job(name)
        except Conflict:
            raise Conflict(
                f"somebody else changed the cron job {job.name!r} at the same moment", hint="Look at it, then repeat."
            ) from None
        finally:
            await self._keeper.settle(job.key)
        log.info("cron.saved", job=job.name, new=old is None)
        return compile_job(stored, revision, key)


def _unknown(name: str) -> NotFound:
    return NotFound(f"there is no cron job {name[:80]!r}", hint="`openclaw-nats cron list` shows all of them.")


def _name_of(record: Record) -> str:
    """The name of a job that can't be read: what stands in it as a name, if that leads to it, else its key."""
    key = names.key_of_job(record.subject)
    try:
        name = msgspec.json.decode(record.body)["document"]["name"]
        return name if names.key_of(name) == key.rpartition("=")[2] else key
    except Exception:  # anything may stand there
        return key


def _document_of(record: Record) -> object:
    """What stands in a job that goes; None when that can't be read."""
    try:
        return job_of(record).stored.document
    except InvalidInput:
        return None


def _newest(records: list[Record]) -> Fire | None:
    return _fire(max(records, key=lambda record: record.sequence)) if records else None


def _fire(record: Record) -> Fire | None:
    """One run; None for what is none, and for what can't be read."""
    try:
        return _read_fire(record)
    except Exception as error:  # anything may stand there
        log.warning("cron.unreadable_run", subject=record.subject, error=str(error))
        return None


def _read_fire(record: Record) -> Fire | None:
    _, _, outcome, kind, _, at, *_ = record.subject.split(".")
    if outcome == "skipped":
        note = msgspec.json.decode(record.body)
        return Fire("skipped", float(at), float(note["at"]))
    if outcome != "fired" or kind not in ("cron", "manual"):
        return None
    manual = kind == "manual"
    event = envelope.decode(record.body)
    outcome = "fired" if too_late(record.headers, record.time) is None else "skipped"
    return Fire(outcome, int(at) / 1000 if manual else float(at), record.time, manual, event.id)
