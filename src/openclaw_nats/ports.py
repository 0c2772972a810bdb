"""The contracts between the parts. An implementation passes the suite of that name in tests/contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from openclaw_nats.errors import InvalidInput
from openclaw_nats.events.messages import Message, Stored, StoredMessage


class EventLog(Protocol):
    """An append-only log with deduplication by id (JetStream's stream `agent_events`)."""

    @property
    def max_body(self) -> int:
        """The largest body in bytes that can be stored at present."""

    async def append(self, messages: Sequence[Message]) -> list[Stored | InvalidInput]:
        """Store all messages, in order; return one result each: InvalidInput for one that can never be stored.

        Returns only after the log's own acknowledgement: with durability `always` the events are on disk and survive
        `kill -9` of every process and a power cut. Raises Unavailable when it can't; then each message may or may not
        be stored, and the caller repeats with the same ids. Safe to call concurrently; ids within one call differ.
        """

    async def ids_since(self, start_time: float, ids: frozenset[str]) -> frozenset[str]:
        """Which of `ids` are stored in messages no older than `start_time` (seconds since the Unix epoch)."""

    def read(
        self, *, subject: str, since: float | None, limit: int | None, follow: bool
    ) -> AsyncIterator[StoredMessage | None]:
        """Yield stored messages on a subject pattern, oldest first.

        `since` is seconds since the Unix epoch; `limit` keeps the newest so many. Ends when it has caught up, unless
        `follow`: then it goes on with new messages and yields None now and then while there is none. A reader does
        not change what is stored. Raises Unavailable when the log can't be read.
        """
