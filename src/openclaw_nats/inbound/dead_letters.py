"""Dead letters go to the stream `agent_dlq` too, where other programs can see them: once each, when NATS takes them."""

from __future__ import annotations

import asyncio

import msgspec
import structlog

from openclaw_nats.errors import InvalidInput, Unavailable
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.events.identity import DEAD, Identity
from openclaw_nats.events.messages import Message
from openclaw_nats.events.origin import GATEWAY
from openclaw_nats.events.subjects import PREFIX
from openclaw_nats.ports import EventLog, Gate, OpenGate
from openclaw_nats.storage import inbox
from openclaw_nats.storage.database import Database
from openclaw_nats.storage.listed import DeadLetter

log = structlog.get_logger(__name__)

DLQ_PREFIX = "agent.dlq."
_EVERY_SECONDS = 1.0
_AT_ONCE = 10
_REASON_CHARACTERS = 2000


class DeadLetters:
    """Publishes what has died and marks it as published; a repetition after a crash is a duplicate by its id."""

    def __init__(self, database: Database, log_: EventLog, identity: Identity, gate: Gate | None = None) -> None:
        self._gate = gate or OpenGate()
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
        number = f"{row.place}:{row.route_id}:{int(row.changed_at * 1000)}"
        return self._identity.message(subject, body, GATEWAY, DEAD, "", number)
