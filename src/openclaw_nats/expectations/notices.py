"""Publishing what was missed or came back: each notice once, whatever is killed."""

from __future__ import annotations

import msgspec

from openclaw_nats.events.bus_events import bus_message
from openclaw_nats.events.identity import Identity
from openclaw_nats.events.messages import Message
from openclaw_nats.ports import EventLog
from openclaw_nats.storage import expectations as rows
from openclaw_nats.storage.database import Database
from openclaw_nats.storage.expectations import NoticeRow

_MOST = 200
_SINCE_SECONDS = 5.0


class Notices:
    """Takes notices out of the database into the stream."""

    def __init__(self, database: Database, events: EventLog, identity: Identity, gateway_id: str) -> None:
        self._database = database
        self._events = events
        self._identity = identity
        self._gateway_id = gateway_id
        self._doubt = True  # whether one that is there may be in the stream already

    async def publish(self) -> None:
        """Publish all that there are; raise Unavailable, and then all are there once more."""
        while found := await self._database.read(lambda db: rows.notices(db, _MOST)):
            messages = [self._message(one) for one in found]
            there: dict[str, int] = {}
            if self._doubt:
                there = await self._events.stored_since(found[0].at - _SINCE_SECONDS, messages)
            left = [one for one in messages if one.id not in there]
            self._doubt = True
            if left:
                await self._events.append(left)
            numbers = [one.id for one in found]
            await self._database.write(lambda db, numbers=numbers: rows.published(db, numbers))  # type: ignore[misc]
            self._doubt = False

    def _message(self, row: NoticeRow) -> Message:
        data = msgspec.json.decode(row.data)
        at = int(row.at * 1000)
        return bus_message(self._identity, self._gateway_id, row.subject, data, event_id=row.event, milliseconds=at)
