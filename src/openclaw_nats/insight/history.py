"""Looking through the stream: the index finds, the stream says what there is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol, TypeVar

from openclaw_nats.contract.history import EventHistogram, EventNames, EventPage, IndexReport
from openclaw_nats.events.decoding import document_of
from openclaw_nats.events.envelope import format_time
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.searchable import grams_of, has_terms, shown, text_of
from openclaw_nats.events.subjects import PREFIX
from openclaw_nats.insight.indexer import Indexer
from openclaw_nats.insight.live import live_event
from openclaw_nats.storage import event_search
from openclaw_nats.storage.event_index import EventIndex
from openclaw_nats.storage.event_search import Wanted

T = TypeVar("T")
MOST_READ = 2000  # events that one request reads from the stream
STEPS = 60
_SEARCH_SECONDS = 0.6
_COUNT_SECONDS = 2.0
_CATCH_UP_SECONDS = 1.0
_AT_ONCE = 250
_END = 1 << 62
_MOST_NAMES = 200


class MessageLog(Protocol):
    """A log that gives single messages."""

    async def at(self, sequences: Sequence[int]) -> list[StoredMessage]:
        """The messages at these sequences, in that order; what is not there is left out. Raises Unavailable."""


class History:
    """Answers searches."""

    def __init__(self, indexer: Indexer, event_log: MessageLog, clock: Callable[[], float] = time.time) -> None:
        self._indexer = indexer
        self._log = event_log
        self._clock = clock
        self._reader = ThreadPoolExecutor(1, "index-reader")

    @property
    def note(self) -> str:
        """What is wrong with the index; empty when nothing is."""
        return f"the index of events: {self._indexer.problem}" if self._indexer.problem else ""

    async def close(self) -> None:
        """After the last request."""
        await self._read(self._indexer.index.close)
        self._reader.shutdown(wait=True)

    async def search(self, wanted: Wanted, cursor: int | None, limit: int) -> EventPage:
        """The newest events that are wanted, before a sequence. Raises Unavailable."""
        report = await self.report(wait=cursor is None)
        deadline = time.monotonic() + _SEARCH_SECONDS
        before, at, read, ended = _END if cursor is None else cursor, 0, 0, False
        messages: list[StoredMessage] = []
        size = limit if all(grams_of(term) for term in wanted.terms) else _AT_ONCE
        while len(messages) < limit and not ended and read < MOST_READ and (not read or time.monotonic() < deadline):
            some = min(size, MOST_READ - read)
            found = await self._search(wanted, before, some, max(0.1, deadline - time.monotonic()))
            there = await self._log.at([sequence for sequence, _ in found.candidates])
            await self._remove_missing([sequence for sequence, _ in found.candidates], there)
            read += len(found.candidates)
            before, at, ended = found.down_to, found.at or at, found.ended
            for message in there:
                if has_terms(text_of(shown(document_of(message))), wanted.terms):
                    messages.append(message)
                    if len(messages) == limit and message is not there[-1]:
                        before, at, ended = message.sequence, message.time // 1_000_000, False
                        break
            if not found.candidates:
                break
        looked_back_to = format_time(at) if at else None
        if ended:
            looked_back_to = max((format_time(wanted.since) if wanted.since else "", report.oldest or "")) or None
        return EventPage(
            events=[live_event(one) for one in messages],
            cursor=None if ended else str(before),
            looked_back_to=looked_back_to,
            index=report,
        )

    async def report(self, *, wait: bool) -> IndexReport:
        """How the index is; with `wait` after it had a moment to catch up. Raises Unavailable."""
        behind = await self._indexer.caught_up(_CATCH_UP_SECONDS if wait else 0.0)
        state = await self._read(self._indexer.index.state)
        return IndexReport(
            events=state.events,
            behind=behind,
            oldest=format_time(state.oldest) if state.oldest else None,
            bytes=state.bytes,
            problem=self._indexer.problem,
        )

    async def ask(self, question: Callable[[EventIndex], T]) -> T:
        """What the index answers, read in its thread. Raises Unavailable."""
        return await self._read(lambda: question(self._indexer.index))

    async def histogram(self, wanted: Wanted) -> EventHistogram:
        """How many events there are in each part of the range. Raises Unavailable."""
        now = round(self._clock() * 1000) + 1
        begin = wanted.since or (await self._read(self._indexer.index.state)).oldest or now - 3_600_000
        end = max(begin + 1, min(wanted.until, now))
        step = max(1, -(-(end - begin) // STEPS))
        steps = -(-(end - begin) // step)
        bounded = replace(wanted, since=begin, until=end)
        counts, failures, complete = await self._read(
            lambda: event_search.histogram(self._indexer.index, bounded, begin, step, steps, _COUNT_SECONDS)
        )
        return EventHistogram(
            begin=format_time(begin),
            end=format_time(end),
            step=step / 1000,
            events=counts,
            failed=failures,
            exact=not wanted.terms,
            complete=complete,
        )

    async def names(self) -> EventNames:
        """What events can be filtered by. Raises Unavailable."""

        def read() -> EventNames:
            index = self._indexer.index
            fields = ("subject", "agent", "session", "origin")
            subjects, agents, sessions, origins = (event_search.newest_names(index, one, _MOST_NAMES) for one in fields)
            kinds = sorted({one.removeprefix(PREFIX).partition(".")[0] for one in subjects})
            return EventNames(kinds, agents, sessions, origins)

        return await self._read(read)

    async def _search(self, wanted: Wanted, before: int, limit: int, seconds: float) -> event_search.Found:
        index = self._indexer.index
        return await self._read(lambda: event_search.search(index, wanted, before, limit, seconds))

    async def _remove_missing(self, asked: list[int], there: list[StoredMessage]) -> None:
        if len(there) < len(asked):
            known = {one.sequence for one in there}
            await self._indexer.forget([one for one in asked if one not in known])

    async def _read(self, job: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._reader, job)
