"""Dead letters go to the stream `agent_dlq` too, where other programs can see them: once each, when NATS takes them.

Each is an event as well, which routes take. No loop comes of it: a letter about such an event makes none, no route
gets those of its own (admission.py), and the event is a dispatch deeper than the one that died.
"""

from __future__ import annotations

import asyncio

import msgspec
import structlog

from openclaw_nats.errors import InvalidInput, Unavailable
from openclaw_nats.events.bus_events import bus_message
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.events.identity import DEAD, Identity
from openclaw_nats.events.messages import Message
from openclaw_nats.events.origin import GATEWAY
from openclaw_nats.events.subjects import DEAD_LETTERS, DLQ_PREFIX, MAX_BYTES, MAX_TOKENS, PREFIX
from openclaw_nats.ports import EventLog, Gate, OpenGate
from openclaw_nats.storage import inbox
from openclaw_nats.storage.database import Database
from openclaw_nats.storage.listed import DeadLetter

log = structlog.get_logger(__name__)

_EVERY_SECONDS = 1.0
_AT_ONCE = 10
_REASON_CHARACTERS = 2000


class DeadLetters:
    """Publishes what has died and marks it as published; a repetition after a crash is a duplicate by its id."""

    def __init__(
        self, database: Database, log_: EventLog, identity: Identity, gateway_id: str, gate: Gate | None = None
    ) -> None:
        self._gate = gate or OpenGate()
        self._gateway_id = gateway_id
        self._database = database
        self._log = log_
        self._identity = identity

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await self._gate.wait()
            published = 0
            try:
                published = await self.publish()
            except Unavailable as error:
                log.debug("dead_letters.wait", error=str(error))
            if published < _AT_ONCE:
                await asyncio.sleep(_EVERY_SECONDS)

    async def publish(self) -> int:
        """Publish some dead letters; how many. Raises Unavailable."""
        rows = await self._database.read(lambda db: inbox.untold(db, _AT_ONCE))
        if not rows:
            return 0
        messages = [self._message(row) for row in rows]
        for row, result in zip(rows, await self._log.append(messages), strict=True):
            if isinstance(result, InvalidInput):
                await self._without_event(row, result)
        await self._log.append([self._event(row) for row in rows if not row.subject.startswith(DEAD_LETTERS)])
        await self._database.write(lambda db: inbox.tell(db, [row.id for row in rows]))
        return len(rows)

    async def _without_event(self, row: DeadLetter, why: InvalidInput) -> None:
        """A letter that NATS does not take goes without its event; one that it still does not take is logged only."""
        [result] = await self._log.append([self._message(row, left_out=str(why))])
        if isinstance(result, InvalidInput):
            log.error("dead_letters.refused", delivery=row.id, error=str(result))

    def _message(self, row: DeadLetter, left_out: str = "") -> Message:
        event = msgspec.Raw(row.document) if row.document is not None and not left_out else None
        letter: dict[str, object] = {
            "delivery": row.id,
            "route": row.route,
            "reason": row.reason[:_REASON_CHARACTERS],
            "time": format_seconds(row.changed_at),
            "event": event,
        }
        if left_out:
            letter["eventLeftOut"] = left_out
        body = msgspec.json.encode(letter)
        subject = DLQ_PREFIX + row.subject.removeprefix(PREFIX)
        return self._identity.message(subject, body, GATEWAY, DEAD, "", _number(row))

    def _event(self, row: DeadLetter) -> Message:
        """What routes get: names and the reason, and nothing of what the event held."""
        data = {
            "delivery": row.id,
            "route": row.route,
            "routeId": row.route_id,
            "reason": row.reason[:_REASON_CHARACTERS],
            "subject": row.subject,
            "eventId": row.event_id,
            "sequence": row.sequence,
        }
        return bus_message(
            self._identity,
            self._gateway_id,
            _subject(row.subject),
            data,
            event_id=f"dead-letter:{_number(row)}",
            milliseconds=int(row.changed_at * 1000),
            hops=row.hops + 1,
        )


def _number(row: DeadLetter) -> str:
    return f"{row.place}:{row.route_id}:{int(row.changed_at * 1000)}"


def _subject(subject: str) -> str:
    """Where the event about a letter is; of a subject that is too long with the prefix, what there is room for."""
    tokens = f"{DEAD_LETTERS}{subject.removeprefix(PREFIX)}".split(".")[:MAX_TOKENS]
    while len(".".join(tokens).encode()) > MAX_BYTES:
        tokens.pop()
    return ".".join(tokens)
