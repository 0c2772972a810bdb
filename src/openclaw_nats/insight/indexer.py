"""Keeps the index of the stream up to date: follows the stream at its own pace, and removes what has left it.

Its position is kept with the rows. After a restart it goes on from there; another stream under the same name, or one
that was put back, is indexed from its beginning.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import structlog

from openclaw_nats.errors import Unavailable
from openclaw_nats.events.decoding import document_of
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.origin import vouches
from openclaw_nats.events.searchable import failed, indexed, shown, text_of
from openclaw_nats.events.subjects import EVERYTHING, PROBE
from openclaw_nats.insight.stream_views import SubjectLog
from openclaw_nats.ports import Standing
from openclaw_nats.storage import event_index
from openclaw_nats.storage.event_index import Entry, EventIndex

log = structlog.get_logger(__name__)

T = TypeVar("T")
GROUP = 256
FLUSH_SECONDS = 0.5
LOOK_SECONDS = 10.0
COUNT_SECONDS = 60.0
_AGAIN_SECONDS = 0.3
_FAILED_SECONDS = 2.0
_FAR_BEHIND = 1000
_DECODED_AT_ONCE = 16
_LONGEST_NAME = 512


class Source(Protocol):
    """What the indexer asks of the consumer (ports.EventSource): which stream it is, and how much is in it."""

    async def standing(self) -> Standing:
        """See EventSource.standing."""

    async def count_after(self, sequence: int) -> int:
        """See EventSource.count_after."""


class _AnotherStream(Exception):
    """The stream is not the one that is followed."""


class Indexer:
    """The task, and the index for those who ask it."""

    def __init__(self, index: EventIndex, event_log: SubjectLog, source: Source) -> None:
        self.index = index
        self.problem = ""
        self.position = 0
        self._log = event_log
        self._source = source
        self._writer = ThreadPoolExecutor(1, "index-writer")
        self._entries: list[Entry] = []
        self._seen = self._first = 0
        self._stream = ""
        self._writing = asyncio.Lock()
        self._again = asyncio.Event()

    async def run(self) -> None:
        """Follow the stream until cancelled."""
        while True:
            try:
                await self._follow(await self._begin())
            except _AnotherStream:
                continue
            except Unavailable as error:
                log.debug("index.waits", error=str(error))
            await asyncio.sleep(_AGAIN_SECONDS)

    async def close(self) -> None:
        """After the task."""
        await self._write(self.index.close)
        self._writer.shutdown(wait=True)

    async def reindex(self) -> None:
        """Forget the index; it is made again from the stream, beginning now. Returns when it is empty."""
        async with self._writing:
            await self._write(self.index.begin_again)
            self._entries.clear()
            self._again.set()
            self.position = 0

    async def forget(self, sequences: list[int]) -> None:
        """Events are not in the stream any more."""
        await self._write(lambda: self.index.remove(sequences))

    async def caught_up(self, seconds: float) -> int:
        """Wait until everything that is stored now is in the index, but not longer; how many events it lacks."""
        last = (await self._source.standing()).last
        until = time.monotonic() + seconds
        while self.position < last and time.monotonic() < until:
            try:
                await self._flush()
            except Unavailable:
                break  # what is in it can be found all the same; `problem` says why it does not go on
            if self.position < last:
                await asyncio.sleep(0.02)
        return max(0, last - self.position)

    async def _begin(self) -> int:
        """Where to go on."""
        standing = await self._source.standing()
        async with self._writing:
            self._again.clear()
            self._entries.clear()
            state = await self._write(self.index.state)
            if state.stream != standing.stream or state.position > standing.last:
                if state.stream:
                    log.warning("index.rebuilt", reason="it is of another stream")
                await self._write(self.index.begin_again)
                state = await self._write(self.index.state)
            self._stream, self._seen = standing.stream, state.position
            self.position = state.position
            self._first = standing.first
            await self._write(lambda: self.index.remove_before(standing.first))
        return self.position

    async def _follow(self, after: int) -> None:
        looked = counted = flushed = time.monotonic()
        found = self._log.read(subject=EVERYTHING, since=None, limit=None, follow=True, after=after)
        number = 0
        async for message in found:
            if self._again.is_set():
                raise _AnotherStream
            if message is not None and message.sequence > self._seen:
                self._entries.append(entry_of(message))
                self._seen = message.sequence
                number += 1
                if number % _DECODED_AT_ONCE == 0:
                    await asyncio.sleep(0)  # others first: nobody waits for the index
            now = time.monotonic()
            if (
                message is None
                or len(self._entries) >= GROUP
                or (not message.pending and now - flushed > FLUSH_SECONDS)
            ):
                await self._flush()
                flushed = time.monotonic()
                if message is not None and message.pending > _FAR_BEHIND:
                    await asyncio.sleep(flushed - now)
            if now - looked > LOOK_SECONDS:
                looked = now
                count = message is None and now - counted > COUNT_SECONDS
                counted = now if count else counted
                await self._look(count=count)

    async def _flush(self) -> None:
        async with self._writing:
            if self._again.is_set() or self._seen <= self.position:
                return
            entries, seen = list(self._entries), self._seen  # more may come meanwhile
            await self._write(lambda: self.index.add(self._stream, entries, seen))
            self._entries, self.position = self._entries[len(entries) :], seen

    async def _look(self, *, count: bool) -> None:
        """Whether it is still that stream; what has left it leaves the index."""
        standing = await self._source.standing()
        if standing.stream != self._stream or standing.last < self.position:
            raise _AnotherStream
        if standing.first > self._first:
            self._first = standing.first
            await self._write(lambda: self.index.remove_before(standing.first))
        if not count:
            return
        state = await self._write(self.index.state)
        if state.events and await self._source.count_after(state.first - 1) < state.events:
            await self._compare(state.first, self.position)

    async def _compare(self, first: int, last: int) -> None:
        """Somebody removed single events from the stream: find out which."""
        there: set[int] = set()
        reading = self._log.read(
            subject=EVERYTHING, since=None, limit=None, follow=False, after=first - 1, bodies=False
        )
        async for message in reading:
            if message is not None and message.sequence <= last:
                there.add(message.sequence)
        after, gone = first - 1, list[int]()
        while after < last:
            known = await self._write(lambda: self.index.sequences(after, 10_000))  # noqa: B023  (used at once)
            if not known:
                break
            gone += [one for one in known if one <= last and one not in there]
            after = known[-1]
        log.info("index.compared", gone=len(gone))
        for start in range(0, len(gone), 1000):
            part = gone[start : start + 1000]
            await self.forget(part)

    async def _write(self, job: Callable[[], T]) -> T:
        """Run `job` in the thread that writes; `problem` says how that went the last time."""
        try:
            result = await asyncio.get_running_loop().run_in_executor(self._writer, job)
        except Unavailable as error:
            if self.problem != str(error):
                log.warning("index.not_written", error=str(error))
            self.problem = str(error)
            await asyncio.sleep(_FAILED_SECONDS)
            raise
        self.problem = ""
        return result


def entry_of(message: StoredMessage) -> Entry:
    """A stored message as the index takes it. Of whom it is, only who is believed can say.

    One that a mistake of ours can't read is found by what the stream itself says of it.
    """
    try:
        event = shown(document_of(message))
        return _entry(message, event, indexed(text_of(event)))
    except Exception as error:
        log.error("index.bug", sequence=message.sequence, error=repr(error), exc_info=True)
        return _entry(message, {}, "")


def _entry(message: StoredMessage, event: dict[str, Any], text: str) -> Entry:
    own = event if message.believed and vouches(message.origin.name) else {}
    names = (
        message.subject,
        _name(own.get("agentid")),
        _name(own.get("sessionkey")),
        _name(own.get("runid")),
        message.origin.name,
    )
    flags = (event_index.FAILED if failed(event) else 0) | (event_index.PROBE if message.subject == PROBE else 0)
    return Entry(message.sequence, message.time // 1_000_000, names, flags, text)


def _name(value: Any) -> str:
    return value[:_LONGEST_NAME].encode("utf-8", "replace").decode() if isinstance(value, str) else ""
