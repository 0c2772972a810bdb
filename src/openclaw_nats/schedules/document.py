"""Cron jobs and timers as people write them: parsed, checked, and the events that they become."""

from __future__ import annotations

import math
import re
import shlex
from dataclasses import dataclass
from typing import Any

import msgspec

from openclaw_nats.contract.checking import check, within
from openclaw_nats.contract.schedules import JobDocument, TimerDocument
from openclaw_nats.errors import InvalidSchedule
from openclaw_nats.events import envelope, origin
from openclaw_nats.events.envelope import Event, format_time
from openclaw_nats.events.makers import Maker
from openclaw_nats.events.subjects import check_subject
from openclaw_nats.schedules.cron import Cron, cron
from openclaw_nats.schedules.names import check_name, default_subject, key_of
from openclaw_nats.schedules.policy import MissedPolicy, parse_missed
from openclaw_nats.schedules.waking import check_wish
from openclaw_nats.settings import parse_duration

_LARGEST_MS = 1e15
MAX_PAYLOAD = 256 * 1024
MAX_DELAY = 100 * 366 * 86400.0
_LONGEST_DELAY = 100  # characters
_DURATIONS = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d)\s*)+")


class Origin(msgspec.Struct, rename="camel", omit_defaults=True):
    """Who made a job or timer: `by` is empty for the operator. `hops` is how deep in deliveries the agent's run was,
    `tainted` whether something from outside may have led to it.
    """

    agent: str = ""
    session: str = ""
    hops: int = 0
    cause: str = ""
    tainted: bool = True

    @property
    def said(self) -> origin.Origin:
        """Who says what it publishes (events/origin.py)."""
        return origin.of_agent(self.agent, tainted=self.tainted)

    @property
    def mark(self) -> str:
        """How what it makes is marked (events/makers.py); empty for the operator's."""
        return self.maker.mark if self.maker is not None else ""

    @property
    def by(self) -> str:
        """`agent:<id>`, or empty for the operator."""
        return f"agent:{self.agent}" if self.agent else ""

    @property
    def maker(self) -> Maker | None:
        """The agent that made it, and in which session; None for the operator."""
        return Maker(self.agent, self.session) if self.agent else None


class Taken(msgspec.Struct, rename="camel"):
    """That a job is being taken over from another Gateway: its key there, and whether it fired there."""

    gateway: str
    key: str
    enabled: bool


class StoredJob(msgspec.Struct, rename="camel", omit_defaults=True):
    """A job as it lies in the stream. Times are seconds; ticks up to `since` are not its own.

    One with `taken` is paused until the one that it is a copy of is surely gone (handover.py).
    """

    document: JobDocument
    timezone: str
    since: float
    created: float
    updated: float
    origin: Origin = msgspec.field(default_factory=Origin)
    gateway: str = ""
    taken: Taken | None = None


@dataclass(frozen=True)
class Job:
    """A job that can be worked with. `revision` is the stream's sequence of its document, `key` its name as a token.

    `gateway` is the Gateway that it belongs to; empty for one of 0.1.0, until it is found out (Keeper.owned). For
    `ours` and `vouched` see Record.
    """

    key: str
    gateway: str
    stored: StoredJob
    revision: int
    cron: Cron
    missed: MissedPolicy
    subject: str
    ours: bool = True
    vouched: bool = True

    @property
    def name(self) -> str:
        """Its unique name."""
        return self.stored.document.name

    @property
    def author(self) -> Origin:
        """Who made it, as far as that can be believed."""
        return self.stored.origin if self.vouched else Origin()

    @property
    def said(self) -> origin.Origin:
        """Who says what it publishes: nobody that is known, if somebody else has put it into the stream."""
        return self.stored.origin.said if self.vouched else origin.OUTSIDE

    @property
    def enabled(self) -> bool:
        """Whether it fires."""
        return self.stored.document.enabled


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A job or timer that this version can't read: another version's, or damaged. It is left as it is."""

    name: str
    reason: str


def unreadable(kind: str, name: str, reason: str, command: str) -> InvalidSchedule:
    """The error for a job or timer that this version can't read; `command` is what removes it."""
    return InvalidSchedule(
        f"the {kind} {name[:80]!r} can't be read by this version: {reason}",
        hint=f"Is it a newer version's? Then update this one. Else: `openclaw-nats {command} {shlex.quote(name)}`.",
    )


def parse_job(value: object) -> JobDocument:
    """Check the shape of a job; raise InvalidSchedule that names the field."""
    document = check(value, JobDocument, "a cron job", InvalidSchedule)
    check_wish(document)
    return document


def compile_job(stored: StoredJob, revision: int, key: str) -> Job:
    """Check everything in a job; raise InvalidSchedule or InvalidSubject."""
    document = stored.document
    with within("name"):
        check_name(document.name)
    with within("cron"):
        compiled = cron(document.cron, stored.timezone)
    with within("subject"):
        subject = check_subject(document.subject or default_subject("cron", document.name))
    _check_payload(document.payload)
    with within("missed"):
        missed = parse_missed(document.missed)
    return Job(key, stored.gateway, stored, revision, compiled, missed, subject)


def parse_timer(value: object) -> TimerDocument:
    """Check the shape of a timer; raise InvalidSchedule that names the field."""
    document = check(value, TimerDocument, "a timer", InvalidSchedule)
    with within("name"):
        check_name(document.name)
    with within("subject"):
        check_subject(document.subject or default_subject("timer", document.name))
    _check_payload(document.payload)
    check_wish(document)
    return document


def moment_of(document: TimerDocument, now: float) -> float:
    """When a timer is due, in seconds since the Unix epoch; raise InvalidSchedule."""
    given = [name for name in ("delay", "delay_ms", "at") if getattr(document, name) is not None]
    if len(given) != 1:
        raise InvalidSchedule("a timer needs one of delay, delayMs and at", hint='For example {"delay": "5m"}.')
    if given == ["at"]:
        at = _time(document.at)
        if at < now - 1:
            late = describe_duration(now - at)
            raise InvalidSchedule(
                f"at is {late} ago: it would never come", hint="A delay such as 5m counts from now.", field="at"
            )
    else:
        at = now + (_milliseconds(document.delay_ms) if document.delay is None else _delay(document.delay))
    if at > now + MAX_DELAY:
        raise InvalidSchedule("the timer is due in more than 100 years")
    return at


def describe_duration(seconds: float) -> str:
    """A duration in the largest unit that fits: `3 days`, `12 minutes`."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' * (count != 1)}"
    return f"{seconds:.0f} seconds"


def job_event(job: Job, scheduled: float, fired: float, *, manual: bool = False) -> Event:
    """The event of one run. It is its Gateway's, and its id is made of the tick: whoever stores it, it is the same."""
    note: dict[str, Any] = {"jobName": job.name, "scheduledFor": _ms(scheduled), "firedAt": _ms(fired)}
    number = f"cron:{key_of(job.name)}:{_ms(scheduled)}" + (":manual" if manual else "")
    note |= {"manual": True} if manual else {}
    document, author = job.stored.document, job.author
    return _event(
        number, "cron", job.gateway, job.subject, scheduled, document.payload, document.priority, author, _cron=note
    )


def timer_event(document: TimerDocument, gateway_id: str, at: float, now: float, origin: Origin) -> Event:
    """The event of a timer. It was set at `now`, which keeps the ids of two timers of one name apart."""
    subject = document.subject or default_subject("timer", document.name)
    number = f"timer:{key_of(document.name)}:{_ms(at)}:{int(now * 1000) % 1_000_000}"
    note = {"name": document.name, "scheduledFor": _ms(at), "firedAt": _ms(at)}
    return _event(number, "timer", gateway_id, subject, at, document.payload, document.priority, origin, _timer=note)


def _event(
    number: str,
    kind: str,
    gateway_id: str,
    subject: str,
    at: float,
    payload: object,
    priority: int | None,
    origin: Origin,
    **notes: Any,
) -> Event:
    base = payload if isinstance(payload, dict) else ({} if payload is None else {"value": payload})
    return Event(
        specversion="1.0",
        id=number,
        source=f"openclaw://{gateway_id}/{kind}",
        type=envelope.type_of(subject),
        subject=subject,
        time=_ms(at),
        gatewayid=gateway_id,
        agentid=origin.agent,
        sessionkey=origin.session,
        causationid=origin.cause,
        madeby=origin.mark,
        hops=origin.hops,
        priority=priority or envelope.DEFAULT_PRIORITY,
        data=msgspec.Raw(msgspec.json.encode({**base, **notes})),
    )


def _check_payload(payload: object) -> None:
    with within("payload"):
        try:
            size = len(msgspec.json.encode(payload))
        except (UnicodeEncodeError, RecursionError):
            raise InvalidSchedule("payload is not valid JSON") from None
        if size > MAX_PAYLOAD:
            raise InvalidSchedule(f"payload is {size} bytes long; the limit is {MAX_PAYLOAD}")


def _delay(value: object) -> float:
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, str) and len(text) <= _LONGEST_DELAY and _DURATIONS.fullmatch(text):
        return sum(parse_duration(part) for part in re.findall(r"[\d.]+(?:ms|s|m|h|d)", text))
    near = f'Use "{value}s" or "{value}m".' if re.fullmatch(r"\d+", str(value)) else ""
    raise InvalidSchedule(
        f"delay must be a duration such as 30s, 5m, 2h or 7d, not {str(value)[:40]!r}",
        hint=near or 'Use "5m".',
        field="delay",
    )


def _milliseconds(value: object) -> float:
    # Of a whole number of any size Python asks no question but how large it is.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LARGEST_MS:
        raise InvalidSchedule(
            f"delayMs must be a number of milliseconds, 0 or more and at most 1e15, not {str(value)[:40]!r}",
            field="delayMs",
        )
    return value / 1000


def _time(value: object) -> float:
    try:
        if not isinstance(value, str):
            raise ValueError
        return envelope.parse_time(value).timestamp()
    except (ValueError, OverflowError):
        raise InvalidSchedule(
            f"at must be an RFC 3339 time with a zone, not {str(value)[:40]!r}",
            hint="For example 2027-01-31T08:00:00+01:00.",
            field="at",
        ) from None


def _ms(seconds: float) -> str:
    return format_time(math.floor(seconds * 1000 + 0.5))
