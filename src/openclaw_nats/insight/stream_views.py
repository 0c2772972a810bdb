"""The stream as the dashboard shows it: one event, one run with its subagents, token usage, each subject."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

import msgspec

from openclaw_nats.contract import views
from openclaw_nats.contract.views import LiveEvent
from openclaw_nats.errors import NotFound
from openclaw_nats.events import json_text
from openclaw_nats.events.decoding import document_of, document_with_origin
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.subjects import EVERYTHING, LLM_OUTPUT
from openclaw_nats.insight.live import live_event
from openclaw_nats.ports import EventLog

T = TypeVar("T")
AROUND_SECONDS = 3600.0
MAX_SCANNED = 50_000
MAX_RUN_EVENTS = 1000
_CACHE_SECONDS = 2.0


class SubjectLog(Protocol):
    """A log that can also say how many messages each subject has, and read without bodies."""

    def read(
        self,
        *,
        subject: str,
        since: float | None,
        limit: int | None,
        follow: bool,
        after: int = 0,
        bodies: bool = True,
    ) -> AsyncIterator[StoredMessage | None]:
        """See EventLog.read; without `bodies` they are empty."""

    async def subject_counts(self) -> dict[str, int]:
        """How many messages each subject has. Raises Unavailable."""


class _RunFacts(msgspec.Struct):
    """What a run's timeline is chosen by."""

    runid: Any = ""
    sessionkey: Any = ""
    data: msgspec.Raw = msgspec.Raw(b"null")


class _SubagentFacts(msgspec.Struct, rename="camel"):
    requester_session_key: Any = None


class _Usage(msgspec.Struct):
    model: Any = None
    provider: Any = None
    usage: Any = None
    cost: Any = None


@dataclass(frozen=True)
class SubjectFigures:
    """By subject: events stored, events of the last hour, and when the newest came (milliseconds since the epoch)."""

    stored: dict[str, int]
    hour: dict[str, int]
    newest: dict[str, int]
    complete: bool


class StreamViews:
    """Answers questions about the stream by reading it; what is asked again within seconds is not read again."""

    def __init__(self, log: EventLog, subject_log: SubjectLog, clock: Callable[[], float] = time.time) -> None:
        self._log = log
        self._subjects = subject_log
        self._clock = clock
        self._cache: dict[str, tuple[float, object]] = {}

    async def event(self, sequence: int) -> bytes:
        """One event whole, as a CloudEvents document with who said it; raise NotFound."""
        if sequence >= 1:
            found = self._log.read(subject=EVERYTHING, since=0.0, limit=None, follow=False, after=sequence - 1)
            async for message in found:
                if message is not None and message.sequence == sequence:
                    return document_with_origin(document_of(message), message.origin)
                break
        raise NotFound(f"the stream has no event {sequence}", hint="It may be older than stream.max_age.")

    async def run(self, run_id: str, around: float | None) -> tuple[list[LiveEvent], bool]:
        """(the events of a run and of the subagents that it started, whether all of that time was looked at).

        `around` is when one of its events was stored, seconds since the Unix epoch; without it the last hours count.
        """
        moment = self._clock() if around is None else around
        until = moment + AROUND_SECONDS
        mine: list[StoredMessage] = []
        subagents: list[tuple[str, StoredMessage]] = []
        session, scanned = "", 0
        since = moment - (2 if around is None else 1) * AROUND_SECONDS
        found = self._log.read(subject=EVERYTHING, since=since, limit=None, follow=False)
        async for message in found:
            if message is None:
                continue
            if message.time / 1e9 > until or scanned >= MAX_SCANNED or len(mine) >= MAX_RUN_EVENTS:
                break
            scanned += 1
            facts = _facts(message) if message.believed else None  # nobody else says what belongs to a run
            if facts is None:
                continue
            if facts.runid == run_id:
                mine.append(message)
                session = session or str(facts.sessionkey or "")
            elif message.subject.startswith("agent.events.subagent."):
                subagents.append((_requester(facts), message))
        if mine:
            begin, end = mine[0].time, mine[-1].time
            mine += [one for key, one in subagents if key and key == session and begin <= one.time <= end]
        mine.sort(key=lambda one: one.sequence)
        return [live_event(one) for one in mine], scanned < MAX_SCANNED

    async def usage(self, seconds: float) -> views.Usage:
        """Tokens by agent and model, from what models answered in the last `seconds`."""
        return await self._cached(f"usage {seconds}", lambda: self._usage(seconds))

    async def _usage(self, seconds: float) -> views.Usage:
        rows: dict[tuple[str, str, str, str], views.UsageRow] = {}
        since = self._clock() - seconds
        calls = 0
        async for message in self._log.read(subject=LLM_OUTPUT, since=since, limit=MAX_SCANNED, follow=False):
            if message is None or not message.believed:  # what somebody else says of models counts nothing
                continue
            event = json_text.shown(document_of(message))
            try:
                data = msgspec.convert(event.get("data"), _Usage)
            except msgspec.MsgspecError:  # somebody else's: it counts nothing
                continue
            calls += 1
            names = (
                _name(event.get("gatewayid")),
                _name(event.get("agentid")),
                _name(data.provider),
                _name(data.model),
            )
            row = rows.setdefault(names, views.UsageRow(*names, 0, 0, 0, 0, 0, 0.0))
            row.calls += 1
            used = data.usage if isinstance(data.usage, dict) else {}
            row.input += _number(used.get("input"))
            row.output += _number(used.get("output"))
            row.cache_read += _number(used.get("cacheRead"))
            row.cache_write += _number(used.get("cacheWrite"))
            row.cost += _number(data.cost)
        listed = sorted(rows.values(), key=lambda row: -(row.input + row.output))
        return views.Usage(seconds, calls, calls < MAX_SCANNED, listed)

    async def subjects(self) -> SubjectFigures:
        """For each subject: how many events the stream holds, how many came in the last hour, when the last one did."""
        return await self._cached("subjects", self._by_subject)

    async def _by_subject(self) -> SubjectFigures:
        stored = await self._subjects.subject_counts()
        hour: dict[str, int] = {}
        newest: dict[str, int] = {}
        scanned = 0
        found = self._subjects.read(
            subject=EVERYTHING, since=self._clock() - 3600, limit=MAX_SCANNED, follow=False, bodies=False
        )
        async for message in found:
            if message is not None:
                scanned += 1
                hour[message.subject] = hour.get(message.subject, 0) + 1
                newest[message.subject] = message.time // 1_000_000
        return SubjectFigures(stored, hour, newest, scanned < MAX_SCANNED)

    async def _cached(self, name: str, read: Callable[[], Awaitable[T]]) -> T:
        now = self._clock()
        at, known = self._cache.get(name, (0.0, None))
        if known is not None and 0 <= now - at <= _CACHE_SECONDS:
            return cast("T", known)  # what `read` gave under this name
        value = await read()
        self._cache = {key: kept for key, kept in self._cache.items() if now - kept[0] <= _CACHE_SECONDS}
        self._cache[name] = (now, value)
        return value


def _facts(message: StoredMessage) -> _RunFacts | None:
    try:
        return msgspec.json.decode(message.body, type=_RunFacts)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _requester(facts: _RunFacts) -> str:
    try:
        return str(msgspec.json.decode(facts.data, type=_SubagentFacts).requester_session_key or "")
    except (msgspec.MsgspecError, RecursionError):
        return ""


def _name(value: Any) -> str:
    return str(value)[:200] if value else ""


def _number(value: Any) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else 0
