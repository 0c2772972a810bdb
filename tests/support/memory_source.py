"""A durable consumer in memory. It passes the same contract as JetStream's (tests/contract/test_event_source.py)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from openclaw_nats.errors import Unavailable
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.subjects import EVERYTHING, covers, matches
from openclaw_nats.ports import Delivered, Position, Standing
from tests.support.memory_log import MemoryLog


class MemoryConsumer:
    """What the server keeps of a consumer: it outlives the process that reads with it."""

    def __init__(self, ack_seconds: float = 10.0) -> None:
        self.ack_seconds = ack_seconds
        self.filters: tuple[str, ...] = ()
        self.next = 1
        self.open: dict[int, float] = {}


class MemorySource:
    """The port EventSource over a MemoryLog. While the server is `away` every method raises Unavailable."""

    problem = ""

    def __init__(self, log: MemoryLog, consumer: MemoryConsumer, away: Callable[[], bool] = lambda: False) -> None:
        self._log = log
        self._consumer = consumer
        self._away = away
        self._lost = True
        self._mine: set[int] = set()

    async def subscribe(self, filters: Sequence[str], wanted: Sequence[tuple[str, int]]) -> None:
        self._check()
        self._mine.clear()
        self._lost = False
        consumer, position = self._consumer, (await self.standing()).position
        if filters and consumer.filters != tuple(sorted(filters)):
            floor = position.handled if position is not None else 0
            starts = [
                max(after, floor) if any(covers(one, pattern) for one in consumer.filters) else after
                for pattern, after in wanted
            ]
            consumer.filters, consumer.next, consumer.open = tuple(sorted(filters)), min(starts) + 1, {}

    async def next(self) -> list[Delivered]:
        if self._lost:
            raise Unavailable("the connection was lost: the consumer is opened again")
        self._check()
        consumer, now = self._consumer, time.monotonic()
        late = [sequence for sequence, at in consumer.open.items() if now - at > consumer.ack_seconds]
        found = [one for one in await self._all() if one.sequence in late or one.sequence >= consumer.next]
        found = [one for one in found if any(matches(filter_, one.subject) for filter_ in consumer.filters)]
        for one in found:
            consumer.open[one.sequence] = now
            consumer.next = max(consumer.next, one.sequence + 1)
        if not found:
            await asyncio.sleep(0.01)
        return [Delivered(one, str(one.sequence)) for one in found]

    async def acknowledge(self, delivered: Sequence[Delivered]) -> None:
        self._check()
        for one in delivered:
            self._consumer.open.pop(one.message.sequence, None)

    async def position(self) -> tuple[str, int]:
        standing = await self.standing()
        return standing.stream, standing.last

    async def standing(self) -> Standing:
        self._check()
        consumer, last = self._consumer, len(self._log.messages)
        floor = min(consumer.open, default=consumer.next) - 1
        pending = [
            one
            for one in await self._all()
            if one.sequence > floor and any(matches(filter_, one.subject) for filter_ in consumer.filters)
        ]
        position = Position("memory", consumer.filters, floor if pending else last) if consumer.filters else None
        return Standing("memory", 1, last, position)

    async def count_after(self, sequence: int) -> int:
        self._check()
        return sum(one.sequence > sequence for one in await self._all())

    async def _all(self) -> list[StoredMessage]:
        found = self._log.read(subject=EVERYTHING, since=None, limit=None, follow=False)
        return [one async for one in found if one is not None]

    def _check(self) -> None:
        if self._away():
            self._lost = True
            raise Unavailable("the server is away")
