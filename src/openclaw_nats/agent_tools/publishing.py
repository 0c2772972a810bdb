"""`nats_publish`, `nats_request` and `nats_events`: events out, questions to services, and looking back."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from openclaw_nats.agent_tools.answer import Answer, parameters
from openclaw_nats.agent_tools.caller import Caller
from openclaw_nats.agent_tools.limits import Limits
from openclaw_nats.contract import tool_results as results
from openclaw_nats.contract import tools
from openclaw_nats.errors import InvalidEvent
from openclaw_nats.events import envelope, json_text, trace
from openclaw_nats.events.decoding import document_of, nobodys
from openclaw_nats.events.envelope import Event
from openclaw_nats.events.ids import uuid7
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.origin import of_agent
from openclaw_nats.events.session_keys import folded
from openclaw_nats.events.subjects import check_pattern
from openclaw_nats.outbound.ingest import Ingest
from openclaw_nats.ports import EventLog
from openclaw_nats.settings import parse_duration

MAX_EVENTS = 100
MAX_SCANNED = 20_000
MAX_ANSWER = 24_000
MAX_EVENT = 2_000
MAX_REQUEST_SECONDS = 30.0
_GATEWAYS = ("agentid", "sessionkey", "runid", "hops")  # attributes that only the Gateway's word gives

Ask = Callable[[str, bytes, float, dict[str, str] | None], Awaitable[bytes]]


class Publishing:
    """The three tools that speak to the bus itself."""

    def __init__(self, limits: Limits, ingest: Ingest, event_log: EventLog, ask: Ask, gateway_id: str) -> None:
        self._limits = limits
        self._ingest = ingest
        self._log = event_log
        self._ask = ask
        self._gateway_id = gateway_id

    async def publish(self, caller: Caller, given: object) -> Answer:
        """Store one event, marked with who published it and how deep its run is in deliveries."""
        wanted = parameters(tools.Publish, given)
        subject = await self._limits.check_publish(caller.agent_id, wanted.subject)
        now = int(time.time() * 1000)
        event = Event(
            specversion="1.0",
            id=uuid7(now) if wanted.id is None else wanted.id,
            source=f"openclaw://{self._gateway_id}/agent/{caller.agent_id}",
            type=envelope.type_of(subject),
            subject=subject,
            time=envelope.format_time(now),
            gatewayid=self._gateway_id,
            agentid=caller.agent_id,
            sessionkey=caller.session_key,
            sessionid=caller.session_id,
            causationid=caller.cause,
            madeby=caller.mark,
            traceparent=caller.traceparent,
            hops=caller.hops,
            priority=envelope.DEFAULT_PRIORITY if wanted.priority is None else wanted.priority,
            data=msgspec.Raw(msgspec.json.encode(wanted.payload)),
        )
        origin = of_agent(caller.agent_id, tainted=caller.is_tainted)
        await self._ingest.prepare(event, origin, caller.mark)  # what is wrong with it costs nothing of the minute
        self._limits.count_publish(caller.agent_id)
        done = await self._ingest.store(event, origin, caller.mark)
        return Answer(results.PublishedByTool(done.id, done.subject, done.duplicate))

    async def request(self, caller: Caller, given: object) -> Answer:
        """Ask a service over NATS and wait for its answer."""
        wanted = parameters(tools.Request, given)
        subject = self._limits.check_request(wanted.subject)
        seconds = wanted.timeout_ms / 1000
        if not 0.01 <= seconds <= MAX_REQUEST_SECONDS:
            raise InvalidEvent(f"timeoutMs must be from 10 to {MAX_REQUEST_SECONDS * 1000:.0f}")
        body = msgspec.json.encode(wanted.payload)
        if len(body) > envelope.MAX_EVENT_BYTES:
            raise InvalidEvent("payload is too large")
        self._limits.count_publish(caller.agent_id)
        headers = {trace.HEADER: caller.traceparent} if caller.traceparent else None
        reply = await self._ask(subject, body, seconds, headers)
        text = reply[:MAX_ANSWER].decode("utf-8", "replace")
        return Answer(results.ServiceReply(subject, len(reply), len(reply) > MAX_ANSWER), text)

    async def events(self, caller: Caller, given: object) -> Answer:
        """The newest events of the stream that the agent may see."""
        wanted = parameters(tools.Events, given)
        pattern = check_pattern(wanted.subject)
        if not 1 <= wanted.limit <= MAX_EVENTS:
            raise InvalidEvent(f"limit must be from 1 to {MAX_EVENTS}")
        since, until = _moment(wanted.since, "since"), _moment(wanted.until, "until") if wanted.until else None
        found: list[dict[str, Any]] = []
        scanned = 0
        async for message in self._log.read(subject=pattern, since=since, limit=MAX_SCANNED, follow=False):
            if message is None or (until is not None and message.time / 1e9 > until):
                continue
            scanned += 1
            document = json_text.shown(document_of(message))
            if self._may_see(caller, message, document, wanted.session):
                if not message.believed:  # what it says of runs and sessions is somebody's words
                    document = {name: value for name, value in document.items() if name not in _GATEWAYS}
                document["origin"] = message.origin.name
                found.append(document)
                if len(found) > wanted.limit:
                    del found[0]
        shown, left_out = _shorten(found)
        result = results.EventsSeen(len(shown), left_out, scanned)
        if scanned == MAX_SCANNED:
            result.note = f"only the newest {MAX_SCANNED} events of that time were looked at: narrow subject or since"
        return Answer(result, shown)

    def _may_see(self, caller: Caller, message: StoredMessage, document: dict[str, Any], session: str | None) -> bool:
        if session is not None and not message.believed:
            return False
        if session is not None and folded(str(document.get("sessionkey") or "")) != folded(session):
            return False
        owners = [document] if message.believed else [document, nobodys(document)]
        return self._limits.read == "all" or all(caller.maker.may_see(self._gateway_id, one) for one in owners)


def _moment(value: str, name: str) -> float:
    try:
        return max(0.0, time.time() - parse_duration(value))
    except ValueError:
        pass
    try:
        return envelope.parse_time(value).timestamp()
    except (ValueError, OverflowError):
        raise InvalidEvent(
            f"{name} must be a duration before now (2h) or an RFC 3339 time, not {value[:40]!r}"
        ) from None


def _shorten(events: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """The newest events that fit into an answer, oldest first; how many did not."""
    shown: list[dict[str, Any]] = []
    size = 0
    for event in reversed(events):
        text = msgspec.json.encode(event.get("data")).decode()
        short = {
            key: event[key]
            for key in ("id", "subject", "time", "origin", "agentid", "sessionkey", "runid", "priority", "hops")
            if event.get(key)
        }
        short["data"] = event.get("data") if len(text) <= MAX_EVENT else f"{text[:MAX_EVENT]}… [{len(text)} characters]"
        size += len(msgspec.json.encode(short))
        if size > MAX_ANSWER and shown:
            break
        shown.insert(0, short)
    return shown, len(events) - len(shown)
