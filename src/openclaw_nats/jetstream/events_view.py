"""The events stream as recording and verifying see it: its state and limits, and all of its messages."""

from __future__ import annotations

from collections.abc import AsyncIterator

from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.subjects import EVERYTHING
from openclaw_nats.jetstream.connection import Connection
from openclaw_nats.jetstream.reading import read_stream
from openclaw_nats.jetstream.streams import EVENTS, Streams
from openclaw_nats.ports import StreamFacts


class EventsView:
    """The port StreamView on JetStream."""

    def __init__(self, connection: Connection, streams: Streams) -> None:
        self._connection = connection
        self._streams = streams

    async def facts(self) -> StreamFacts:
        """See StreamView."""
        info = await self._streams.info()
        state, config = info["state"], info["config"]
        return StreamFacts(
            created=str(info["created"]),
            first=int(state["first_seq"]),
            last=int(state["last_seq"]),
            messages=int(state["messages"]),
            bytes=int(state["bytes"]),
            max_age=int(config.get("max_age", 0)) / 1e9,
            max_bytes=max(0, int(config.get("max_bytes", 0))),
            max_messages=max(0, int(config.get("max_msgs", 0))),
            now=self._streams.clock.now(),
        )

    async def read(self, after: int) -> AsyncIterator[StoredMessage]:
        """See StreamView."""
        messages = read_stream(self._connection, EVENTS, EVERYTHING, after=after)
        async for message in messages:
            if message is not None:
                yield message
