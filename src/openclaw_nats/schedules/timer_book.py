"""Timers: one event at one time. Each is one message of the schedules stream, which JetStream fires."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from openclaw_nats.errors import InvalidSchedule, NotFound
from openclaw_nats.events import envelope
from openclaw_nats.events.envelope import Event
from openclaw_nats.events.makers import Maker, maker_of
from openclaw_nats.ports import Arm, Record, ScheduleLog
from openclaw_nats.schedules import names
from openclaw_nats.schedules.cron_book import OPERATOR
from openclaw_nats.schedules.document import Origin, Unreadable, moment_of, parse_timer, timer_event

log = structlog.get_logger(__name__)

MAX_TIMERS = 10_000


@dataclass(frozen=True, slots=True)
class Timer:
    """A timer that has not fired yet. Times are seconds since the Unix epoch."""

    name: str
    at: float
    created: float
    subject: str
    payload: Any
    priority: int
    made_by: str
    session: str

    @property
    def maker(self) -> Maker | None:
        """The agent that set it, and in which session; None for the operator."""
        found = maker_of(self.made_by)
        return Maker(found.agent, self.session) if found is not None else None


class TimerBook:
    """All timers on this NATS."""

    def __init__(
        self,
        schedule_log: ScheduleLog,
        gateway_id: str,
        prepare: Callable[[Event], Awaitable[bytes]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._log = schedule_log
        self._gateway_id = gateway_id
        self._prepare = prepare
        self._clock = clock

    async def every(self) -> list[Timer]:
        """All timers that this version can read, the next one first."""
        return (await self.all())[0]

    async def all(self) -> tuple[list[Timer], list[Unreadable]]:
        """All timers, the next one first, and those that this version can't read."""
        timers: list[Timer] = []
        unreadable: list[Unreadable] = []
        for record in await self._log.read(names.TIMERS):
            try:
                timers.append(_timer(record))
            except InvalidSchedule as error:
                unreadable.append(Unreadable(record.subject.rpartition(".")[2], str(error)))
        return sorted(timers, key=lambda one: one.at), sorted(unreadable, key=lambda one: one.name)

    async def named(self, name: str) -> Timer:
        """One timer; raise NotFound."""
        record = await self._log.last(names.timer_subject(names.key_of(name)))
        if record is None:
            raise _unknown(name)
        return _timer(record)

    async def set(self, value: object, origin: Origin = OPERATOR) -> tuple[Timer, bool]:
        """Set a timer, in place of one of that name; (the timer, whether the name is new)."""
        document = parse_timer(value)
        now = self._clock()
        at = moment_of(document, now)
        event = timer_event(document, self._gateway_id, at, now, origin)
        key = names.key_of(document.name)
        where = names.timer_subject(key)
        old = await self._log.last(where)
        if old is None and len(await self._log.subjects(names.TIMERS)) >= MAX_TIMERS:
            raise InvalidSchedule(f"there are {MAX_TIMERS} timers already")
        body = await self._prepare(event)
        target = names.fired("timer", key, int(at * 1000), event.subject)
        await self._log.arm([Arm(where, target, at, body)])
        log.info("timer.set", timer=document.name, seconds=round(at - now))
        return _timer(Record(where, 0, body, {}, now)), old is None

    async def cancel(self, name: str) -> None:
        """Cancel a timer, be it one that this version can't read; raise NotFound when there is none."""
        keys = [key for key in dict.fromkeys((names.key_of(name), name)) if names.is_key(key)]
        for key in keys:  # one that can't be read is listed by its key
            if await self._log.purge(names.timer_subject(key)):
                break
        else:
            raise _unknown(name)
        log.info("timer.cancelled", timer=name)


def _unknown(name: str) -> NotFound:
    return NotFound(
        f"there is no timer {name[:80]!r}: it was never set, was cancelled, or has fired",
        hint="`openclaw-nats timers list` shows all of them.",
    )


def _timer(record: Record) -> Timer:
    """A timer from its message; raise InvalidSchedule when this version can't read it."""
    try:
        return _read_timer(record)
    except Exception as error:  # whatever another version or program wrote there
        raise InvalidSchedule(f"{record.subject} can't be read: {error}") from None


def _read_timer(record: Record) -> Timer:
    event = envelope.decode(record.body)
    data = msgspec.json.decode(event.data)
    note = data.pop("_timer")
    return Timer(
        name=note["name"],
        at=envelope.parse_time(note["scheduledFor"]).timestamp(),
        created=record.time,
        subject=event.subject,
        payload=data,
        priority=event.priority,
        made_by=Origin(agent=event.agentid).by,
        session=event.sessionkey,
    )
