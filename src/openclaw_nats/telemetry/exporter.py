"""Follows the stream and sends runs as spans to an OTLP endpoint, after a restart from where it stopped.

A span is sent at least once: the place in the stream is noted after the endpoint has taken it, and the same event makes
the same span again. An endpoint that is away is asked again with growing pauses, and holds nothing else up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import structlog

from openclaw_nats import __version__
from openclaw_nats.errors import SettingsError, Unavailable
from openclaw_nats.events import json_text
from openclaw_nats.events.decoding import document_of
from openclaw_nats.events.subjects import EVERYTHING, RUN_ENDED
from openclaw_nats.ports import EventLog
from openclaw_nats.storage import inbox
from openclaw_nats.storage.database import Database
from openclaw_nats.telemetry.spans import Span, SpanMaker

log = structlog.get_logger(__name__)

GROUP = 256
FLUSH_SECONDS = 2.0
_PAUSES = (1.0, 2.0, 5.0, 15.0, 60.0)
_PLACE = "spans were sent up to"
Send = Callable[[list[Span]], bool]


class SpanExporter:
    """The task. `send` blocks, and returns whether the endpoint has taken the spans."""

    def __init__(
        self, event_log: EventLog, database: Database, gateway_id: str, end: Callable[[], Awaitable[int]], send: Send
    ) -> None:
        self._log = event_log
        self._database = database
        self._gateway_id = gateway_id
        self._end = end
        self._send = send
        self._maker = SpanMaker()
        self._started = time.time()

    async def run(self) -> None:
        """Follow the stream until cancelled."""
        while True:
            try:
                await self._follow(await self._place())
            except Unavailable as error:
                log.debug("telemetry.wait", error=str(error))
            await asyncio.sleep(1.0)

    async def _place(self) -> int:
        """Where it stopped; 0 the first time, when what was stored since this process started counts."""
        noted = await self._database.read(lambda db: inbox.fact(db, _PLACE))
        return min(int(noted), await self._end()) if noted else 0

    async def _follow(self, after: int) -> None:
        spans: list[Span] = []
        last, flushed = after, asyncio.get_running_loop().time()
        found = self._log.read(subject=EVERYTHING, since=self._started, limit=None, follow=True, after=after)
        async for message in found:
            if message is not None and message.sequence > after:
                last = message.sequence
                try:
                    span = await self._span(document_of(message)) if message.believed else None
                except Unavailable:
                    raise
                except Exception as error:  # one event that can't be read makes no span
                    log.warning("telemetry.unreadable", sequence=message.sequence, error=repr(error))
                    span = None
                if span is not None:
                    spans.append(span)
            now = asyncio.get_running_loop().time()
            if len(spans) >= GROUP or (spans and now - flushed >= FLUSH_SECONDS) or message is None:
                await self._flush(spans, last)
                spans, flushed = [], now

    async def _span(self, document: bytes) -> Span | None:
        event: Any = json_text.shown(document)
        if not isinstance(event, dict) or event.get("gatewayid") != self._gateway_id:
            return None
        woken_by = await self._woken_by(event) if event.get("subject") == RUN_ENDED else ()
        try:
            return self._maker.span_of(event, woken_by)
        except (ValueError, OverflowError):
            return None  # a time that is none: somebody else's event

    async def _woken_by(self, event: dict[str, Any]) -> Sequence[str]:
        """The traceparents of the events of the delivery that a run goes back to."""
        dispatch = event.get("causationid")
        if not isinstance(dispatch, str) or not dispatch:
            return ()
        target = await self._database.read(lambda db: inbox.target_of(db, dispatch))
        return msgspec.json.decode(target).get("traceparents", ()) if target else ()

    async def _flush(self, spans: list[Span], place: int) -> None:
        attempt = 0
        while spans and not await asyncio.to_thread(self._send, spans):
            if attempt == 0:
                log.warning("telemetry.endpoint_away", waiting=len(spans))
            await asyncio.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)])
            attempt += 1
        if spans:
            await self._database.write(lambda db: inbox.set_fact(db, _PLACE, str(place)))


def otlp(endpoint: str, gateway_id: str) -> Send:
    """A function that sends spans over OTLP/HTTP; raise SettingsError when the extra is not installed."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.sdk.trace.export import SpanExportResult
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
    except ImportError:
        raise SettingsError(
            "otel.endpoint is set, but OpenTelemetry is not installed",
            hint="`pip install 'openclaw-nats[otel]'`, or unset otel.endpoint.",
        ) from None
    exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", timeout=10)
    resource = Resource.create({"service.name": "openclaw", "service.instance.id": gateway_id})
    scope = InstrumentationScope("openclaw-nats", __version__)

    def context(trace: int, number: int, *, is_remote: bool = False) -> SpanContext:
        return SpanContext(trace, number, is_remote=is_remote, trace_flags=TraceFlags(TraceFlags.SAMPLED))

    def readable(span: Span) -> ReadableSpan:
        kind = span.error[:50] if span.client else "_OTHER"  # of a model's call the Gateway gives the error's kind only
        attributes = {**span.attributes, **({"error.type": kind} if span.error else {})}
        return ReadableSpan(
            name=span.name,
            context=context(span.trace, span.id),
            parent=context(span.trace, span.parent) if span.parent else None,
            resource=resource,
            attributes=attributes,
            links=[Link(context(trace, number, is_remote=True)) for trace, number in span.links],
            kind=SpanKind.CLIENT if span.client else SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR, span.error[:200]) if span.error else Status(StatusCode.UNSET),
            start_time=span.begin,
            end_time=span.end,
            instrumentation_scope=scope,
        )

    def send(spans: list[Span]) -> bool:
        return exporter.export([readable(span) for span in spans]) is SpanExportResult.SUCCESS

    return send
