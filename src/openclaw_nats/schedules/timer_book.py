"""Timers: one event at one time. Each is one message of the schedules stream, which JetStream fires."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from openclaw_nats.audit.act import Act
from openclaw_nats.audit.trail import Trail, Untraced
from openclaw_nats.contract.schedules import Wake
from openclaw_nats.errors import Conflict, InvalidSchedule, NotFound
from openclaw_nats.events import envelope
from openclaw_nats.events.envelope import Event, format_seconds
from openclaw_nats.events.makers import Maker, maker_of
from openclaw_nats.events.origin import Origin as Said
from openclaw_nats.ports import Arm, Record, ScheduleLog
from openclaw_nats.schedules import names
from openclaw_nats.schedules.cron_book import OPERATOR
from openclaw_nats.schedules.document import Origin, Unreadable, moment_of, parse_timer, timer_event, unreadable
from openclaw_nats.schedules.waking import TimerWake, Waking, plain

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
    gateway: str
    wake: Wake | None = None
    instruction: str = ""

    @property
    def maker(self) -> Maker | None:
        """The agent that set it, and in which session; None for the operator."""
        found = maker_of(self.made_by)
        return Maker(found.agent, self.session) if found is not None else None


class TimerBook:
    """This Gateway's timers."""

    def __init__(
        self,
        schedule_log: ScheduleLog,
        gateway_id: str,
        prepare: Callable[[Event], Awaitable[bytes]],
        seal: Callable[[str, bytes, Said], Mapping[str, str]] = lambda subject, body, origin: {},
        clock: Callable[[], float] = time.time,
        waking: Waking | None = None,
        trail: Trail | None = None,
    ) -> None:
        self._trail = trail or Untraced()
        self._log = schedule_log
        self._gateway_id = gateway_id
        self._prepare = prepare
        self._seal = seal
        self._clock = clock
        self._waking = waking or Waking(schedule_log, gateway_id)

    async def every(self) -> list[Timer]:
        """All timers that this version can read, the next one first."""
        return (await self.all())[0]

    async def all(self) -> tuple[list[Timer], list[Unreadable]]:
        """All timers, the next one first, and those that this version can't read."""
        timers: list[Timer] = []
        others: list[Unreadable] = []
        wakes = await self._waking.timers()
        for record in [one for pattern in names.TIMERS for one in await self._log.read(pattern)]:
            key = record.subject.rpartition(".")[2]
            try:
                timer = _timer(record)
                if self._is_mine(timer):
                    timers.append(_with_wake(timer, wakes.get(key)))
            except InvalidSchedule as error:
                if names.may_be_of(self._gateway_id, key):
                    others.append(Unreadable(key, str(error)))
        return sorted(timers, key=lambda one: one.at), sorted(others, key=lambda one: one.name)

    async def named(self, name: str) -> Timer:
        """One timer; raise NotFound, or InvalidSchedule for one that this version can't read."""
        found = await self._find(name)
        if found is None:
            reason = next((one.reason for one in (await self.all())[1] if one.name == name), "")
            raise unreadable("timer", name, reason, "timers cancel") if reason else _unknown(name)
        return await self._whole(found)

    async def _whole(self, record: Record) -> Timer:
        return _with_wake(_timer(record), await self._waking.timer(record.subject.rpartition(".")[2]))

    def _is_mine(self, timer: Timer) -> bool:
        return timer.gateway in ("", self._gateway_id)

    async def _find(self, name: str) -> Record | None:
        """This Gateway's timer of a name; one of another Gateway's that 0.1.0 set under the same name is left alone."""
        for key in (names.key_in(self._gateway_id, name), names.key_of(name)):
            record = await self._log.last(names.timer_subject(key))
            try:
                if record is not None and self._is_mine(_timer(record)):
                    return record
            except InvalidSchedule as error:
                raise unreadable("timer", name, str(error), "timers cancel") from None
        return None

    async def others(self) -> list[tuple[Timer, Record]]:
        """The timers of other Gateways on this NATS, the next one first, each with its message."""
        found = []
        for record in [one for pattern in names.TIMERS for one in await self._log.read(pattern)]:
            with contextlib.suppress(InvalidSchedule):
                if not self._is_mine(timer := _timer(record)):
                    found.append((timer, record))
        return sorted(found, key=lambda one: one[0].at)

    async def take(self, timer: Timer, record: Record) -> Timer:
        """Set another Gateway's timer here, and remove it there; raise Conflict, or NotFound when it has just fired.

        Between the two both are there: whoever is interrupted there repeats it, and only the second step is left.
        """
        mine = await self._find(timer.name)
        if mine is None:
            event = envelope.decode(record.body)
            document: dict[str, Any] = {
                "name": timer.name,
                "at": format_seconds(timer.at),
                "subject": timer.subject,
            }
            document |= {"payload": timer.payload, "priority": timer.priority}
            theirs = await self._waking.timer(record.subject.rpartition(".")[2])
            if theirs is not None and theirs.at == round(timer.at * 1000):
                document |= {"wake": plain(theirs.wake), "instruction": theirs.instruction}
            origin = Origin(event.agentid, event.sessionkey, event.hops, event.causationid)
            await self.set(document, origin)
        elif _what(_timer(mine)) != _what(timer):
            raise Conflict(
                f"there is another timer {timer.name!r} here already", hint="Cancel that one first, or wait for it."
            )
        key = record.subject.rpartition(".")[2]
        if not await self._log.purge(record.subject):
            await self.cancel(timer.name)
            raise NotFound(f"the timer {timer.name!r} of {timer.gateway} has just fired, or was cancelled")
        await self._log.purge(names.wake_subject(key))
        log.info("timer.taken", timer=timer.name, gateway=timer.gateway)
        return await self.named(timer.name)

    async def set(self, value: object, origin: Origin = OPERATOR) -> tuple[Timer, bool]:
        """Set a timer; it replaces one of that name; (the timer, whether the name is new)."""
        document = parse_timer(value)
        now = self._clock()
        at = moment_of(document, now)
        event = timer_event(document, self._gateway_id, at, now, origin)
        old = await self._find(document.name)
        if old is None and await self.count() >= MAX_TIMERS:
            raise InvalidSchedule(f"there are {MAX_TIMERS} timers already")
        key = names.key_in(self._gateway_id, document.name) if old is None else old.subject.rpartition(".")[2]
        where = names.timer_subject(key)
        body = await self._prepare(event)
        target = names.fired("timer", key, int(at * 1000), event.subject)
        wake = None
        if document.wake is not None:
            wake = TimerWake(
                self._gateway_id,
                document.name,
                int(at * 1000 + 0.5),
                event.subject,
                document.wake,
                document.instruction.strip(),
                origin.mark,
            )
        was = _shown(_timer(old)) if old is not None else None
        timer = _with_wake(_timer(Record(where, 0, body, {}, now)), wake)
        async with self._trail.around(Act("timers.set", document.name, was, _shown(timer))), self._waking.lock:
            before = await self._waking.put_timer(key, wake)
            headers = self._seal(event.subject, body, origin.said)
            await self._log.arm([Arm(where, target, at, body, headers=headers)])
            await self._waking.replaced(before)
        log.info("timer.set", timer=document.name, seconds=round(at - now))
        return timer, old is None

    async def cancel(self, name: str) -> None:
        """Cancel a timer, be it one that this version can't read; raise NotFound when there is none."""
        keys = dict.fromkeys((names.key_in(self._gateway_id, name), names.key_of(name), name))
        for key in keys:  # one that can't be read is listed by its key
            if not names.is_key(key) or not names.may_be_of(self._gateway_id, key):
                continue
            record = await self._log.last(names.timer_subject(key))
            with contextlib.suppress(InvalidSchedule):
                if record is not None and not self._is_mine(_timer(record)):
                    continue
            if record is not None and await self._cancel(name, key, record):
                break
        else:
            raise _unknown(name)
        log.info("timer.cancelled", timer=name)

    async def _cancel(self, name: str, key: str, record: Record) -> bool:
        before = None
        with contextlib.suppress(InvalidSchedule):
            before = _shown(_timer(record))
        async with self._trail.around(Act("timers.cancel", name, before)) as act, self._waking.lock:
            if await self._log.purge(names.timer_subject(key)):
                await self._waking.remove_timer(key)
                return True
            act.reason = "it has just fired"
            return False

    async def count(self) -> int:
        """How many timers there are on this NATS, of all Gateways."""
        return sum([len(await self._log.subjects(pattern)) for pattern in names.TIMERS])


def _shown(timer: Timer) -> dict[str, Any]:
    """A timer as the audit log shows it."""
    found = {"at": format_seconds(timer.at), "subject": timer.subject, "payload": timer.payload}
    found |= {"priority": timer.priority, "madeBy": timer.made_by}
    return found | ({"wake": timer.wake, "instruction": timer.instruction} if timer.wake is not None else {})


def _what(timer: Timer) -> tuple[Any, ...]:
    return timer.at, timer.subject, timer.payload, timer.made_by, timer.session


def _unknown(name: str) -> NotFound:
    return NotFound(
        f"there is no timer {name[:80]!r}: it was never set, was cancelled, or has fired",
        hint="`openclaw-nats timers list` shows all of them.",
    )


def _with_wake(timer: Timer, wake: TimerWake | None) -> Timer:
    if wake is None or wake.at != round(timer.at * 1000):
        return timer
    return dataclasses.replace(timer, wake=wake.wake, instruction=wake.instruction)


def _timer(record: Record) -> Timer:
    """A timer from its message; raise InvalidSchedule when this version can't read it."""
    try:
        return _read_timer(record)
    except Exception as error:  # whatever another version or program wrote there
        raise InvalidSchedule(f"{record.subject}: {error}") from None


def _read_timer(record: Record) -> Timer:
    event = envelope.decode(record.body)
    data = msgspec.json.decode(event.data)
    note = data.pop("_timer")
    names.check_place(names.check_name(note["name"]), record.subject.rpartition(".")[2])
    return Timer(
        name=note["name"],
        at=envelope.parse_time(note["scheduledFor"]).timestamp(),
        created=record.time,
        subject=event.subject,
        payload=data,
        priority=event.priority,
        made_by=Origin(agent=event.agentid).by,
        session=event.sessionkey,
        gateway=event.gatewayid,
    )
