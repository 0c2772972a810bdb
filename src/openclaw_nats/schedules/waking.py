"""Jobs and timers that wake: what each wants of the routes, and that the routes are what they want.

A job's document holds whom it wakes and its instruction. A timer is one message, which becomes its event: what it wakes
lies beside it, since an instruction never travels in an event. The routes (WakeBook) are made before anything is armed
and removed with the job or timer; a timer's stays until what it was for has ended.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

import msgspec
import structlog

from openclaw_nats.contract.schedules import JobDocument, TimerDocument
from openclaw_nats.contract.schedules import Wake as WakeField
from openclaw_nats.errors import InvalidInput, InvalidSchedule, Unavailable, Unsupported
from openclaw_nats.events.instructions import check_instruction
from openclaw_nats.ports import Gate, OpenGate, Record, ScheduleLog, Wake, WakeBook
from openclaw_nats.schedules import names

log = structlog.get_logger(__name__)

REFRESH_SECONDS = 60.0
LATE_SECONDS = 3600.0  # a timer that has fired is taken in within that, while this process runs
JOB_GONE = "its job was removed"
TIMER_GONE = "its timer was cancelled"


class TimerWake(msgspec.Struct, rename="camel"):
    """What lies beside a timer: when it fires (milliseconds), whom it wakes, and what is to be done."""

    gateway: str
    name: str
    at: int
    subject: str
    wake: WakeField
    instruction: str = ""
    made_by: str = ""

    @property
    def owner(self) -> str:
        """As Wake.owner has it."""
        return f"timer/{self.name}@{self.at}"


_decoder = msgspec.json.Decoder(TimerWake)


class NoWakes:
    """For books that wake nobody."""

    def wakes(self) -> dict[str, Wake]:
        """None."""
        return {}

    async def put_wake(self, wake: Wake) -> None:
        """Nothing to keep."""

    async def remove_wake(self, owner: str, reason: str) -> None:
        """Nothing to remove."""

    async def is_done(self, owner: str) -> bool | None:
        """Nothing has come."""
        return None


class Waking:
    """One per sidecar. `lock` is held while a job or timer and its route are changed."""

    def __init__(
        self,
        schedule_log: ScheduleLog,
        gateway_id: str,
        book: WakeBook | None = None,
        gate: Gate | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = schedule_log
        self._gateway_id = gateway_id
        self._book: WakeBook = book or NoWakes()
        self._gate = gate or OpenGate()
        self._clock = clock
        self._gone: dict[str, float] = {}  # timers' routes of which nothing is armed, since when
        self.lock = asyncio.Lock()

    async def put_job(self, document: JobDocument, subject: str, made_by: str) -> None:
        """The route of a job that is about to be stored; raise InvalidSchedule for what nothing can answer."""
        if document.wake is None:
            return
        await self._put(job_wake(document, subject, made_by))

    async def remove_job(self, name: str) -> None:
        """A job was removed, or wakes nobody any more."""
        await self._book.remove_wake(job_owner(name), JOB_GONE)

    def job_owners(self) -> list[str]:
        """The owners of all routes of jobs."""
        return [owner for owner in self._book.wakes() if owner.startswith("cron/")]

    async def put_timer(self, key: str, found: TimerWake | None) -> str:
        """What a timer that is about to be set wakes; None: nobody. The owner of the one that it replaces, if any:
        to be given to `replaced` when it is set.
        """
        old = await self.timer(key)
        if found is not None:
            await self._put(self._wake(found))
            await self._log.write(names.wake_subject(key), msgspec.json.encode(found))
        elif old is not None:
            await self._log.purge(names.wake_subject(key))
        armed = await self._log.last(names.timer_subject(key))
        if old is not None and armed is not None and (found is None or old.owner != found.owner):
            return old.owner
        return ""

    async def replaced(self, owner: str) -> None:
        """A timer was replaced before it fired."""
        if owner:
            await self._book.remove_wake(owner, TIMER_GONE)

    async def remove_timer(self, key: str) -> None:
        """A timer was cancelled before it fired."""
        if (old := await self.timer(key)) is not None:
            await self._log.purge(names.wake_subject(key))
            await self._book.remove_wake(old.owner, TIMER_GONE)

    async def timer(self, key: str) -> TimerWake | None:
        """What lies beside a timer; None for nothing that this version can read."""
        record = await self._log.last(names.wake_subject(key))
        return _read(record) if record is not None else None

    async def timers(self) -> dict[str, TimerWake]:
        """What lies beside all timers, by key."""
        found = {}
        for record in await self._log.read(names.WAKES):
            if (one := _read(record)) is not None:
                found[record.subject.rpartition(".")[2]] = one
        return found

    async def run(self, jobs: Callable[[], Awaitable[Mapping[str, Wake | None]]]) -> None:
        """Until cancelled: put right what the routes do not have as the jobs and timers want it."""
        while True:
            await self._gate.wait()
            try:
                async with self.lock:
                    await self.settle(await jobs())
            except (Unavailable, Unsupported) as error:
                log.info("wakes.not_looked_at", error=str(error))
            await asyncio.sleep(REFRESH_SECONDS)

    async def settle(self, wanted: Mapping[str, Wake | None]) -> None:
        """Look once. `wanted` is what each job wants, by owner; None for one that can't be read: its route stays."""
        there = self._book.wakes()
        timers = {key: one for key, one in (await self.timers()).items() if one.gateway == self._gateway_id}
        every = {**wanted, **{one.owner: self._wake(one) for one in timers.values()}}
        for owner, wake in every.items():
            if wake is not None and there.get(owner) != wake:
                try:
                    await self._book.put_wake(wake)
                except InvalidInput as error:
                    log.warning("wakes.refused", owner=owner, error=str(error))
        keys = {one.owner: key for key, one in timers.items()}
        for owner in there:
            if owner.startswith("cron/"):
                if owner not in every:
                    await self._book.remove_wake(owner, JOB_GONE)
            elif await self._timer_is_over(owner, keys.get(owner, "")):
                if owner in keys:
                    await self._log.purge(names.wake_subject(keys[owner]))
                await self._book.remove_wake(owner, "its timer has fired, and nothing waits for it")

    async def _timer_is_over(self, owner: str, key: str) -> bool:
        """Whether nothing can come of a timer any more, nor waits to be tried again."""
        armed = await self._log.last(names.timer_subject(key)) if key else None
        if armed is not None:
            self._gone.pop(owner, None)
            return False
        since = self._gone.setdefault(owner, self._clock())
        done = await self._book.is_done(owner)
        over = done is True or (done is None and self._clock() - since > LATE_SECONDS)
        if over:
            self._gone.pop(owner, None)
        return over

    @staticmethod
    def _wake(one: TimerWake) -> Wake:
        return Wake(one.owner, one.subject, plain(one.wake), one.instruction, one.made_by)

    async def _put(self, wake: Wake) -> None:
        try:
            await self._book.put_wake(wake)
        except InvalidInput as error:
            raise InvalidSchedule(str(error).replace("target", "wake", 1), hint=error.hint, field="wake") from None


def job_owner(name: str) -> str:
    """As Wake.owner has it."""
    return f"cron/{name}"


def job_wake(document: JobDocument, subject: str, made_by: str) -> Wake:
    """What a job that wakes wants of the routes."""
    return Wake(job_owner(document.name), subject, plain(document.wake), document.instruction.strip(), made_by)


def check_wish(document: JobDocument | TimerDocument) -> None:
    """Raise InvalidSchedule for an instruction that can't be one, or that nobody would get."""
    check_instruction(document.instruction, InvalidSchedule)
    if document.instruction.strip() and document.wake is None:
        raise InvalidSchedule(
            "instruction needs wake: who is to carry it out",
            hint='For example "main", a session key, or {"kind": "agent", "agentId": "ops"}.',
            field="wake",
        )


def plain(wake: object) -> object:
    """A target as JSON."""
    return msgspec.to_builtins(wake)


def _read(record: Record) -> TimerWake | None:
    if not record.vouched:  # somebody else has written it: no instruction comes from there
        return None
    try:
        found = _decoder.decode(record.body)
        names.check_place(names.check_name(found.name), record.subject.rpartition(".")[2])
        return found
    except Exception as error:  # whatever another version or program wrote there
        log.warning("wakes.unreadable", subject=record.subject, error=str(error))
        return None
