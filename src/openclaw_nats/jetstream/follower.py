"""Following the events stream from a sequence that its reader keeps himself: the port Followed."""

from __future__ import annotations

from collections.abc import Sequence

from nats.errors import Error as NatsError

from openclaw_nats.errors import Unavailable, words_for
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.jetstream.connection import Connection
from openclaw_nats.jetstream.reader import BATCH, Lost, Reader
from openclaw_nats.jetstream.reading import last_on
from openclaw_nats.jetstream.streams import EVENTS


class JetStreamFollower:
    """The events stream on several patterns. Nothing of it stays at the server."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._reader: Reader | None = None

    async def open(self, patterns: Sequence[str], after: int) -> None:
        """See Followed.open."""
        await self.close()
        if not self._connection.ready:
            raise self._connection.not_ready("")
        reader = Reader(self._connection, EVENTS, patterns, bodies=True)
        self._reader = reader
        try:
            await reader.open({"deliver_policy": "by_start_sequence", "opt_start_seq": after + 1})
        except (NatsError, OSError) as error:
            raise Unavailable(f"the stream can't be followed: {words_for(error)}") from error

    async def next(self) -> list[StoredMessage]:
        """See Followed.next."""
        if self._reader is None:
            raise Unavailable("the stream is not followed")
        try:
            return await self._reader.next(BATCH, wait=True)
        except (Lost, NatsError, OSError) as error:
            raise Unavailable(f"the stream is followed again: {error}") from error

    async def last(self, pattern: str) -> int:
        """See Followed.last."""
        try:
            found = await last_on(self._connection, EVENTS, pattern)
        except (NatsError, OSError) as error:
            raise Unavailable(f"the stream can't be read: {words_for(error)}") from error
        return found.sequence if found is not None else 0

    async def close(self) -> None:
        """See Followed.close."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()
