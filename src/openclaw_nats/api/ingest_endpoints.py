"""`POST /api/publish` (one event) and `POST /api/events` (many), both answered after JetStream's acknowledgement."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from openclaw_nats.api.bodies import decode_json, media_type, read_body
from openclaw_nats.api.problems import name_of
from openclaw_nats.errors import InvalidEvent
from openclaw_nats.events import json_text, trace
from openclaw_nats.events.envelope import MAX_EVENT_BYTES, parse_time
from openclaw_nats.outbound.ingest import Ingest, PublishRequest
from openclaw_nats.outbound.meters import IngestMeters

MAX_BATCH_BYTES = 8 * 1024 * 1024
MAX_BATCH_EVENTS = 10_000
RETRY_HEADER = "openclaw-nats-retry-since"
JSON = "application/json"
NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl")
BATCH_TYPES = (*NDJSON, JSON, "application/cloudevents-batch+json")

_publish_decoder = msgspec.json.Decoder(PublishRequest)
_array_decoder = msgspec.json.Decoder(list[msgspec.Raw])


class IngestEndpoints:
    """The endpoints' handlers, around one Ingest."""

    def __init__(self, ingest: Ingest, meters: IngestMeters) -> None:
        self._ingest = ingest
        self._meters = meters

    async def publish(self, request: Request) -> Response:
        """Store one event: `{"subject", "payload", …}` → `{"id", "subject", "sequence", "duplicate"}`."""
        media_type(request, (JSON,))
        body = await read_body(request, MAX_EVENT_BYTES)
        traceparent = trace.given(request.headers.get(trace.HEADER, "").strip())
        done = await self._ingest.publish(decode_json(_publish_decoder, body), traceparent)
        return _json({"id": done.id, "subject": done.subject, "sequence": done.sequence, "duplicate": done.duplicate})

    async def events(self, request: Request) -> Response:
        """Store many CloudEvents: NDJSON or a JSON array → `{"accepted", "duplicates", "rejected", "filtered"}`."""
        kind = media_type(request, BATCH_TYPES)
        retry_since = _retry_since(request)
        body = await read_body(request, MAX_BATCH_BYTES)
        documents = (
            _lines(json_text.well_formed(body))
            if kind in NDJSON
            else [bytes(raw) for raw in decode_json(_array_decoder, body)]
        )
        if len(documents) > MAX_BATCH_EVENTS:
            raise InvalidEvent(f"{len(documents)} events in one request; the limit is {MAX_BATCH_EVENTS}")
        outcome = await self._ingest.ingest(documents, retry_since)
        for _, error in outcome.rejected:
            self._meters.rejected(name_of(error))
        rejected = [{"index": index, "error": str(error)} for index, error in outcome.rejected]
        return _json(
            {
                "accepted": outcome.accepted,
                "duplicates": outcome.duplicates,
                "rejected": rejected,
                "filtered": outcome.filtered,
            }
        )


def _lines(body: bytes) -> list[bytes]:
    return [line for line in body.split(b"\n") if line.strip()]


def _retry_since(request: Request) -> float | None:
    given = request.headers.get(RETRY_HEADER)
    if given is None:
        return None
    try:
        return parse_time(given).timestamp()
    except (ValueError, OverflowError):
        raise InvalidEvent(f"the header {RETRY_HEADER} must be an RFC 3339 time") from None


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type=JSON)
