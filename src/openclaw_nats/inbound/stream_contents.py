"""The content of an event that ended: the inbox keeps it no longer, the stream does, for as long as it keeps events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from openclaw_nats.errors import Unavailable
from openclaw_nats.events.decoding import decode_message
from openclaw_nats.events.identity import without_replay
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.subjects import EVERYTHING
from openclaw_nats.ports import EventLog

_SECONDS = 3.0


class StreamContents:
    """Looks events up; `place` says which event a message is (events/identity.py)."""

    def __init__(self, log: EventLog, place: Callable[[StoredMessage], str]) -> None:
        self._log = log
        self._place = place

    async def document(self, sequence: int, place: str) -> bytes | None:
        """The document of the event of that place; None when the stream has it no more, or can't say in time."""
        event = without_replay(place)
        try:
            async with asyncio.timeout(_SECONDS):
                found = self._log.read(subject=EVERYTHING, since=0.0, limit=None, follow=False, after=sequence - 1)
                async for message in found:
                    if message is None or message.sequence != sequence or self._place(message) != event:
                        return None
                    return decode_message(message)[0].document
        except (Unavailable, TimeoutError):
            pass
        return None
