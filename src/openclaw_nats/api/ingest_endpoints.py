"""`POST /api/publish` (one event) and `POST /api/events` (many), both answered after JetStream's acknowledgement.

Both take a CloudEvent in each content mode of the HTTP binding; `/api/events` takes many as NDJSON, as a JSON array
or as a CloudEvents batch. With `?subject=` in the address, it is the events' subject, as it is over NATS.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from openclaw_nats.api.bodies import TooDeep, decode_json, media_type, read_body
from openclaw_nats.api.header_values import headers_of
from openclaw_nats.api.json_answers import json_response
from openclaw_nats.api.limits import check_parameters, key_of
from openclaw_nats.api.problems import Malformed, name_of
from openclaw_nats.api.queries import parameters
from openclaw_nats.contract import events as shapes
from openclaw_nats.errors import Filtered, InvalidEvent
from openclaw_nats.events import content, envelope, json_text, modes, trace
from openclaw_nats.events.envelope import MAX_EVENT_BYTES, parse_time
from openclaw_nats.events.ids import uuid7
from openclaw_nats.events.origin import OPERATOR, OUTSIDE, Origin, by_key
from openclaw_nats.events.subjects import check_subject
from openclaw_nats.keys.rights import said_by
from openclaw_nats.outbound.ingest import BatchOutcome, Ingest, Published
from openclaw_nats.outbound.meters import IngestMeters

MAX_BATCH_BYTES = 8 * 1024 * 1024
MAX_BATCH_EVENTS = 10_000
RETRY_HEADER = "openclaw-nats-retry-since"
JSON = "application/json"
NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl")
BATCH_TYPES = (*NDJSON, JSON, modes.BATCH, *modes.STRUCTURED)

_publish_decoder = msgspec.json.Decoder(shapes.PublishRequest)
_array_decoder = msgspec.json.Decoder(list[msgspec.Raw])


class IngestEndpoints:
    """The endpoints' handlers, around one Ingest."""

    def __init__(
        self, ingest: Ingest, meters: IngestMeters, taken_by: Callable[[str], list[str]] = lambda subject: []
    ) -> None:
        self._ingest = ingest
        self._meters = meters
        self._taken_by = taken_by

    async def publish(self, request: Request) -> Response:
        """Store one event: `{"subject", "payload", …}` → `{"id", "subject", "sequence", "duplicate"}`.

        With `?routes=true` it names the enabled `routes` whose pattern covers the subject, too; their conditions may
        still keep it out.
        """
        origin_of = _publisher_of(request)
        if _is_one_event(request):
            done = await self._take(*_one_event(request, await read_body(request, MAX_EVENT_BYTES)), origin_of)
        else:
            media_type(request, (JSON,))
            body = content.without_mark(await read_body(request, MAX_EVENT_BYTES))
            if _is_publish_request(request, body):
                traceparent = trace.given(request.headers.get(trace.HEADER, "").strip())
                wanted = decode_json(_publish_decoder, body)
                if (subject := _subject(request)) and subject != wanted.subject:
                    raise InvalidEvent("the subject in the address and the one in the body are not the same")
                done = await self._ingest.publish(wanted, traceparent, origin_of(wanted.subject))
            else:
                done = await self._take(*_one_event(request, body), origin_of)
        asked = request.query_params.get("routes") == "true"
        routes = self._taken_by(done.subject) if asked else UNSET
        return json_response(shapes.Published(done.id, done.subject, done.sequence, done.duplicate, routes))

    async def _take(self, event: envelope.Event, document: bytes, origin_of: Callable[[str], Origin]) -> Published:
        return await self._ingest.take(event, document, origin_of(event.subject))

    async def events(self, request: Request) -> Response:
        """Store CloudEvents: one, NDJSON or an array → `{"accepted", "duplicates", "rejected", "filtered"}`.

        One event that can't be stored is an error; in a batch it is named in `rejected`, and the others are stored.
        """
        retry_since, origin_of = _retry_since(request), _origin_of(request)
        if _is_one_event(request):
            return await self._one(request, await read_body(request, MAX_EVENT_BYTES), retry_since, origin_of)
        subject = _subject(request)
        kind = media_type(request, BATCH_TYPES)
        body = content.without_mark(await read_body(request, MAX_BATCH_BYTES))
        if subject and kind == JSON and not _holds_events(body):
            return await self._one(request, body, retry_since, origin_of)
        lines = _lines(json_text.well_formed(body)) if kind in NDJSON else {}
        documents = list(lines.values()) if kind in NDJSON else _array(body)
        if len(documents) > MAX_BATCH_EVENTS:
            raise InvalidEvent(f"{len(documents)} events in one request; the limit is {MAX_BATCH_EVENTS}")
        if subject:
            documents = [_on_subject(document, subject) for document in documents]
        outcome = await self._ingest.ingest(documents, retry_since, origin_of)
        if kind not in NDJSON and body.lstrip()[:1] == b"{" and outcome.rejected:
            raise outcome.rejected[0][1]
        for _, error in outcome.rejected:
            self._meters.rejected(name_of(error))
        return json_response(_answer(outcome, lines=list(lines)))

    async def _one(
        self, request: Request, body: bytes, retry_since: float | None, origin_of: Callable[[str], Origin]
    ) -> Response:
        event, document = _one_event(request, body)
        return json_response(_answer(await self._ingest.ingest([document], retry_since, origin_of), event))


def _is_one_event(request: Request) -> bool:
    """Whether the body is one event: a CloudEvent by its content type or headers, or any content for a `subject`.

    JSON may be one event, many, or a publish request: the body says which.
    """
    kind = content.media_type(request.headers.get("content-type", ""))
    if modes.is_structured(kind):
        return kind != modes.BATCH
    if any(name.startswith("ce-") for name in request.headers):
        return True
    return "subject" in request.query_params and kind not in (*NDJSON, JSON)


def _is_publish_request(request: Request, body: bytes) -> bool:
    """Whether JSON for /api/publish is its own form, and not a CloudEvent, or content for a `subject`."""
    fields = modes.fields_of(body) or {}
    if {"subject", "payload"} <= fields.keys():
        return True
    return "subject" not in request.query_params and not modes.is_event(fields)


def _holds_events(body: bytes) -> bool:
    """Whether JSON is a CloudEvent or a list with at least one; also when it is broken, or an empty list."""
    if body.lstrip()[:1] == b"{":
        fields = modes.fields_of(body)
        return fields is None or modes.is_event(fields)
    if body.lstrip()[:1] != b"[":
        return False
    items = _items(body)
    return not items or any(modes.is_event(modes.fields_of(one) or {}) for one in items)


def _items(body: bytes) -> list[bytes]:
    """The items of a JSON array: one that is nested without end is its own fault, and not the others'."""
    try:
        return [bytes(raw) for raw in decode_json(_array_decoder, body, whole=False)]
    except TooDeep:
        try:
            return [json_text.well_formed(one) for one in json_text.items(body)]
        except ValueError:
            pass
        raise


def _one_event(request: Request, body: bytes) -> tuple[envelope.Event, bytes]:
    subject = _subject(request)
    headers = headers_of(request)
    kind = content.media_type(headers.get("content-type", ""))
    modes.check_format(kind)
    made = _made(headers)
    if modes.is_structured(kind) or (not modes.is_binary(headers) and _is_event(kind, body)):
        body = json_text.well_formed(content.without_mark(body))
        document = _on_subject(body, subject) if subject else body
        event, document = envelope.read(document, subject_of=modes.subject_for)
        return envelope.traced(event, document, made.get("traceparent", ""))
    if modes.is_binary(headers):
        subject = subject or _own_subject(headers)
        return envelope.read(modes.binary(headers, body, subject, {**made, "type": envelope.type_of(subject)}))
    return envelope.read(modes.plain(headers, body, subject, {**made, "type": envelope.type_of(subject)}))


def _is_event(kind: str, body: bytes) -> bool:
    """Whether a body that no header calls a CloudEvent is one, as over NATS."""
    if kind and not content.is_json(kind):
        return False
    fields = modes.fields_of(content.without_mark(body))
    if fields is None:
        return not kind and modes.breaks_off(body)
    return modes.is_event(fields)


def _made(headers: Mapping[str, str]) -> dict[str, Any]:
    """The attributes of an event that names none."""
    now = int(time.time() * 1000)
    made = {"specversion": "1.0", "id": uuid7(now), "source": "http", "time": envelope.format_time(now)}
    traceparent = trace.given(headers.get(trace.HEADER, "").strip())
    return {**made, "traceparent": traceparent} if traceparent else made


def _own_subject(headers: Mapping[str, str]) -> str:
    if given := headers.get("ce-subject"):
        return check_subject(modes.decoded("ce-subject", given))
    if not headers.get("ce-type"):
        raise InvalidEvent("the event is not a CloudEvent: the header ce-type is missing")
    return modes.subject_for(modes.decoded("ce-type", headers["ce-type"]))


def _subject(request: Request) -> str:
    """The subject in the address, checked; empty without one."""
    known = ("subject", "origin", *(("routes",) if request.url.path == "/api/publish" else ()))
    given = parameters(request, known).get("subject")
    return "" if given is None else check_subject(given)


def _publisher_of(request: Request) -> Callable[[str], Origin]:
    """Who says the event of /api/publish, by its subject: the operator, or a limited key."""
    if (key := key_of(request)) is not None:
        check_parameters(key, request, "routes", "origin")
        return said_by(key)
    return _of_the_admin(request, lambda subject: OPERATOR)


def _origin_of(request: Request) -> Callable[[str], Origin]:
    """Who says the events of /api/events, by their subjects."""
    if (key := key_of(request)) is not None:
        check_parameters(key, request, "origin", RETRY_HEADER)
        return said_by(key)
    return _of_the_admin(request, by_key)


def _of_the_admin(request: Request, otherwise: Callable[[str], Origin]) -> Callable[[str], Origin]:
    """Who has the admin key may say that events are somebody else's, and nothing more."""
    given = request.query_params.get("origin")
    if given not in (None, OUTSIDE.name):
        raise Malformed("origin can only be outside: what else an event's origin is, the sidecar finds out itself")
    return otherwise if given is None else lambda subject: OUTSIDE


def _on_subject(document: bytes, subject: str) -> bytes:
    fields = modes.fields_of(document)
    return document if fields is None else modes.with_subject(document, fields, subject)


def _array(body: bytes) -> list[bytes]:
    """The events of a JSON array; one object is one event."""
    if body.lstrip()[:1] == b"{":
        return [json_text.well_formed(body)]
    return _items(body)


def _answer(outcome: BatchOutcome, event: envelope.Event | None = None, lines: Sequence[int] = ()) -> shapes.Ingested:
    """The counts; for one event also which it is, and its error raised. `lines` are those on which the events stood."""
    if event is not None and outcome.rejected:
        raise outcome.rejected[0][1]
    if event is not None and outcome.filtered:
        raise Filtered(f"the operator's filter keeps {event.subject} out")
    return shapes.Ingested(
        accepted=outcome.accepted,
        duplicates=outcome.duplicates,
        rejected=[
            shapes.Rejected(index, str(error), lines[index] if lines else UNSET) for index, error in outcome.rejected
        ],
        filtered=outcome.filtered,
        id=UNSET if event is None else event.id,
        subject=UNSET if event is None else event.subject,
    )


def _lines(body: bytes) -> dict[int, bytes]:
    """The lines that are not empty, by their numbers in the body, from 1."""
    return {number: line for number, line in enumerate(body.split(b"\n"), 1) if line.strip()}


def _retry_since(request: Request) -> float | None:
    given = request.headers.get(RETRY_HEADER)
    if given is None:
        return None
    try:
        return parse_time(given).timestamp()
    except (ValueError, OverflowError):
        raise InvalidEvent(f"the header {RETRY_HEADER} must be an RFC 3339 time") from None
