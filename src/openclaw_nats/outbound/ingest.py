"""Ingest: check → filter → redact → group commit. The only way in for events that arrive over HTTP."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import msgspec
import structlog

from openclaw_nats.contract.events import PublishRequest
from openclaw_nats.errors import Filtered, InvalidEvent, InvalidInput, InvalidSubject, Mistake, TooLarge, Unavailable
from openclaw_nats.events import envelope, json_text, modes, session_keys
from openclaw_nats.events.envelope import Event
from openclaw_nats.events.identity import Identity
from openclaw_nats.events.ids import uuid7
from openclaw_nats.events.messages import Message, Stored
from openclaw_nats.events.origin import GATEWAY, OPERATOR, Origin, by_key
from openclaw_nats.events.subjects import PREFIX, check_subject
from openclaw_nats.outbound.filters import SubjectFilter
from openclaw_nats.outbound.meters import IngestMeters
from openclaw_nats.outbound.publisher import GroupCommitPublisher
from openclaw_nats.outbound.redaction_process import RedactionProcess
from openclaw_nats.ports import EventLog

log = structlog.get_logger(__name__)

_RAW_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True)
class Published:
    """What became of one published event."""

    id: str
    subject: str
    sequence: int
    duplicate: bool


@dataclass
class BatchOutcome:
    """What became of a batch; `rejected` holds (index, why) of the events that can never be stored."""

    accepted: int = 0
    duplicates: int = 0
    filtered: int = 0
    rejected: list[tuple[int, InvalidInput | Mistake]] = field(default_factory=list)


_UNKNOWN_TRY_SECONDS = 86400.0
OUTPUT = f"{PREFIX}llm.output"  # what a model has said, and what it has cost
GUARDED_CALL = f"{PREFIX}plugin.guarded_call"  # what the plugin hands over; inbound/approvals.py tells of it
OnOutputs = Callable[[Sequence[tuple[str, str, bytes]]], Awaitable[None]]


OnCalls = Callable[[Sequence[bytes]], Awaitable[None]]


class Ingest:
    """Takes events in. Every method returns after JetStream's acknowledgement, or raises Unavailable."""

    def __init__(
        self,
        *,
        publisher: GroupCommitPublisher,
        log: EventLog,
        subject_filter: SubjectFilter,
        redactor: RedactionProcess | None,
        meters: IngestMeters,
        gateway_id: str,
        duplicate_window: float,
        identity: Identity,
        plain_until: float = 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.on_outputs: OnOutputs | None = None
        self.on_calls: OnCalls | None = None
        self._publisher = publisher
        self._log = log
        self._filter = subject_filter
        self._redactor = redactor
        self._meters = meters
        self._gateway_id = gateway_id
        self._window = duplicate_window
        self._identity = identity
        self._plain_until = plain_until
        self._clock = clock

    async def publish(self, request: PublishRequest, traceparent: str = "", origin: Origin = OPERATOR) -> Published:
        """Make an event of a publish request and store it; raise InvalidInput or Unavailable.

        `traceparent` is that of the request's headers, which `meta.traceId` goes before.
        """
        event = self._event_of(request)
        event.traceparent = event.traceparent or traceparent
        return await self.store(event, origin, again=request.id is not None)

    async def take(
        self, event: Event, document: bytes, origin: Origin = OPERATOR, retry_since: float | None = None
    ) -> Published:
        """Store one CloudEvent as the document that it came as (envelope.read); raise InvalidInput or Unavailable.

        `retry_since` as for `ingest`.
        """
        try:
            message = await self._let_through(event, document, origin)
        except Filtered:
            self._meters.filtered.inc()
            raise
        if (stored := await self._stored_before([message], retry_since)) is not None and message.id in stored:
            self._meters.stored(0, 1)
            return Published(event.id, event.subject, stored[message.id], True)
        return await self._publish(event, message, again=True)

    async def store(
        self, event: Event, origin: Origin = OPERATOR, publisher: str = "", *, again: bool = False
    ) -> Published:
        """Store one event; raise InvalidInput or Unavailable. `publisher` (events/identity.py): else its origin's name.

        `again` says that it may have been stored before, since its publisher gave it its id.
        """
        return await self._publish(event, await self.prepare(event, origin, publisher), again=again)

    async def _publish(self, event: Event, message: Message, *, again: bool) -> Published:
        if again and self._clock() < self._plain_until + self._window:  # under its plain id, by the version before
            since = self._clock() - self._window
            if found := await self._log.stored_since(since, [message], self._plain_until):
                self._meters.stored(0, 1)
                return Published(event.id, event.subject, found[message.id], True)
        with self._meters.latency.time():
            result = (await self._publisher.publish([message]))[0]
        if not isinstance(result, Stored):
            raise result
        self._meters.stored(int(not result.duplicate), int(result.duplicate))
        return Published(event.id, event.subject, result.sequence, result.duplicate)

    async def prepare(self, event: Event, origin: Origin = OPERATOR, publisher: str = "") -> Message:
        """An event as it is stored: checked, let through by the filter, redacted; raise InvalidInput."""
        envelope.check(event)
        document = envelope.encode(event)
        json_text.check(document)
        return await self._let_through(event, document, origin, publisher)

    async def _let_through(self, event: Event, document: bytes, origin: Origin, publisher: str = "") -> Message:
        message = await self._prepare(event, document, origin, publisher)
        if message is None:
            raise Filtered(
                f"the operator's filter keeps {event.subject} out", hint="See filter.allow and filter.block in config."
            )
        return message

    async def ingest(
        self,
        documents: Sequence[bytes],
        retry_since: float | None = None,
        origin_of: Callable[[str], Origin] = by_key,
    ) -> BatchOutcome:
        """Store a batch of CloudEvents; an event that is wrong does not cost the others.

        `origin_of` says who says an event, by its subject.

        `retry_since` says that some of them may have been stored by an earlier try that began then (Unix time). When
        that is longer ago than the stream's deduplication window, the stream itself is searched for them.
        """
        outcome = BatchOutcome()
        messages: list[Message] = []
        places: list[int] = []
        outputs: list[tuple[str, str, bytes]] = []
        calls: list[bytes] = []
        for index, document in enumerate(documents):
            try:
                event, kept = envelope.read(document, subject_of=modes.subject_for)
                if event.subject == GUARDED_CALL and self.on_calls is not None and origin_of(event.subject) == GATEWAY:
                    calls.append(bytes(event.data))
                    continue
                message = await self._prepare(event, kept, origin_of(event.subject))
            except InvalidInput as error:
                outcome.rejected.append((index, error))
                continue
            except Unavailable:
                raise
            except Exception as error:  # a mistake of ours costs this event, not the others
                log.error("ingest.bug", error=repr(error), exc_info=True)
                outcome.rejected.append((index, Mistake(f"a fault in openclaw-nats: {error!r}"[:300])))
                continue
            if (
                event.subject == OUTPUT
                and event.causationid
                and self.on_outputs is not None
                and origin_of(event.subject) == GATEWAY  # nobody else says what a turn has cost
            ):
                number = self._identity.message_id(GATEWAY.name, event.source, event.id)
                outputs.append((number, event.causationid, bytes(event.data)))
            if message is None:
                outcome.filtered += 1
            else:
                messages.append(message)
                places.append(index)
        messages, places = await self._drop_stored(messages, places, retry_since, outcome)
        if messages:
            with self._meters.latency.time():
                results = await self._publisher.publish(messages)
            _sort(results, places, outcome)
        if calls and self.on_calls is not None:
            await self.on_calls(calls)  # before the answer: what is not written down is sent once more
            outcome.accepted += len(calls)
        if outputs and self.on_outputs is not None:
            await self.on_outputs(outputs)  # before the answer: what is not counted is sent once more
        self._meters.stored(outcome.accepted, outcome.duplicates)
        self._meters.filtered.inc(outcome.filtered)
        outcome.rejected.sort(key=lambda item: item[0])
        return outcome

    def _event_of(self, request: PublishRequest) -> Event:
        milliseconds = int(self._clock() * 1000)
        check_subject(request.subject)
        priority = request.meta.priority if request.priority is None else request.priority
        trace = _short(request.meta.trace_id, "meta.traceId")
        return Event(
            specversion="1.0",
            id=uuid7(milliseconds) if request.id is None else request.id,
            source=f"openclaw://{self._gateway_id}/api",
            type=request.type or envelope.type_of(request.subject),
            subject=request.subject,
            time=envelope.format_time(milliseconds),
            gatewayid=self._gateway_id,
            sessionkey=_short(request.session_key, "sessionKey", session_keys.MAX_LENGTH),
            correlationid=_short(request.meta.correlation_id, "meta.correlationId"),
            traceparent=_traceparent(trace),
            traceid=trace,
            priority=envelope.DEFAULT_PRIORITY if priority is None else envelope.check_priority(priority),
            data=request.payload,
        )

    async def _prepare(self, event: Event, document: bytes, origin: Origin, publisher: str = "") -> Message | None:
        if not self._filter.allows(event.subject):
            return None
        if self._redactor is not None and event.data:
            data = bytes(event.data)
            masked = await self._redactor.redact(data)
            if masked != data:
                fields = _RAW_FIELDS.decode(document)
                fields["data"] = msgspec.Raw(masked)
                document = msgspec.json.encode(fields)
                self._meters.redacted.inc()
        limit = min(envelope.MAX_EVENT_BYTES + 4096, self._log.max_body)
        if len(document) > limit:
            raise TooLarge(f"the event is {len(document)} bytes long; the limit is {limit}")
        who = publisher or origin.name
        return self._identity.message(event.subject, document, origin, who, event.source, event.id, plain=event.id)

    async def _stored_before(self, messages: Sequence[Message], retry_since: float | None) -> dict[str, int] | None:
        """Which of them an earlier try has stored, by id with their sequences; None where JetStream itself knows."""
        now = self._clock()
        if not messages or retry_since is None:
            return None
        if 0 <= now - retry_since < self._window * 0.9 and retry_since - 5 >= self._plain_until:
            return None
        # A first try in the future was noted while the clock was ahead: when it was is not known.
        begin = retry_since - 5 if retry_since <= now else now - _UNKNOWN_TRY_SECONDS
        return await self._log.stored_since(begin, messages, self._plain_until)

    async def _drop_stored(
        self, messages: list[Message], places: list[int], retry_since: float | None, outcome: BatchOutcome
    ) -> tuple[list[Message], list[int]]:
        stored = await self._stored_before(messages, retry_since)
        if stored is None:
            return messages, places
        left = [(message, place) for message, place in zip(messages, places, strict=True) if message.id not in stored]
        outcome.duplicates += len(messages) - len(left)
        return [message for message, _ in left], [place for _, place in left]


def _sort(results: Sequence[Stored | InvalidInput | Mistake], places: Sequence[int], outcome: BatchOutcome) -> None:
    for place, result in zip(places, results, strict=True):
        if not isinstance(result, Stored):
            outcome.rejected.append((place, result))
        elif result.duplicate:
            outcome.duplicates += 1
        else:
            outcome.accepted += 1


def _short(value: str, name: str, most: int = 512) -> str:
    if len(value) > most or any(ord(character) < 32 for character in value):
        raise InvalidEvent(f"{name} must be at most {most} printable characters")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidSubject(f"{name} is not valid Unicode") from None
    return value


def _traceparent(trace_id: str) -> str:
    """A traceparent for a W3C trace id; empty for an id of another kind, which `traceid` keeps as it is."""
    if len(trace_id) != 32 or set(trace_id) - set("0123456789abcdef") or set(trace_id) == {"0"}:
        return ""
    span = trace_id[16:] if set(trace_id[16:]) != {"0"} else "1".zfill(16)
    return f"00-{trace_id}-{span}-01"
