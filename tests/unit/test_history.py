"""The index follows the stream, and what is found is what the stream holds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from openclaw_nats.errors import Unavailable
from openclaw_nats.events.messages import Message, StoredMessage
from openclaw_nats.events.searchable import terms_of
from openclaw_nats.insight import indexer as indexing
from openclaw_nats.insight.history import History
from openclaw_nats.insight.indexer import Indexer
from openclaw_nats.ports import Standing
from openclaw_nats.storage.event_index import EventIndex
from openclaw_nats.storage.event_search import Wanted
from tests.support.memory_log import MemoryLog


class Stream(MemoryLog):
    """A log with what the index asks besides; `gone` are sequences that somebody has removed."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "first"
        self.gone: set[int] = set()

    async def read(self, *, bodies: bool = True, **more: Any) -> AsyncIterator[StoredMessage | None]:  # type: ignore[override]
        async for one in super().read(**more):
            if one is None or one.sequence not in self.gone:
                yield one

    async def at(self, sequences: Sequence[int]) -> list[StoredMessage]:
        self._check()
        there = [one for one in sequences if one not in self.gone and one <= len(self.messages)]
        return [self._stored(one - 1) for one in there]

    async def standing(self) -> Standing:
        self._check()
        return Standing(self.name, 1, len(self.messages), None)

    async def count_after(self, sequence: int) -> int:
        return len(self.messages) - sequence - len(self.gone)

    async def tell(self, *texts: str, subject: str = "agent.events.custom.a") -> None:
        bodies = [msgspec.json.encode({"text": text}) for text in texts]
        first = len(self.messages)
        await self.append([Message(subject, f"{self.name}-{first + n}", body) for n, body in enumerate(bodies)])


class Room:
    """An indexer that runs, and what asks it."""

    def __init__(self, file: Path) -> None:
        self.stream = Stream()
        self.indexer = Indexer(EventIndex(file, 64 << 20), self.stream, self.stream)
        self.history = History(self.indexer, self.stream)

    async def found(self, text: str = "", **more: Any) -> list[int]:
        page = await self.history.search(Wanted(terms=terms_of(text), **more), None, 100)
        return [one.sequence for one in page.events]

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110  (there is nothing to wait on)
                await asyncio.sleep(0.01)


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    one = Room(tmp_path / "events.db")
    task = asyncio.create_task(one.indexer.run())
    yield one
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await one.indexer.close()
    await one.history.close()


async def test_what_was_just_stored_is_found(room: Room) -> None:
    for number in range(5):
        await room.stream.tell(f"word {number}")
        assert await room.found(f"word {number}") == [number + 1]
    assert await room.found("word") == [5, 4, 3, 2, 1]


async def test_short_words_are_looked_for_in_the_stream_itself(room: Room) -> None:
    await room.stream.tell(*(f"qx{n}" if n == 3 else f"other{n}" for n in range(1200)))
    assert await room.found("qx") == [4]
    assert await room.found("zq") == []
    assert (await room.history.search(Wanted(), 0, 100)).events == [], "before the first there is nothing"


async def test_a_search_that_reads_too_much_stops_says_how_far_it_looked_and_goes_on(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openclaw_nats.insight.history.MOST_READ", 300)
    await room.stream.tell(*(f"qx{n}" if n == 3 else f"other{n}" for n in range(1000)))
    cursor: int | None = None
    pages = []
    while True:
        page = await room.history.search(Wanted(terms=("qx",)), cursor, 100)
        pages.append(page)
        if page.cursor is None:
            break
        assert page.looked_back_to is not None
        cursor = int(page.cursor)
    assert [[one.sequence for one in page.events] for page in pages] == [[], [], [], [4]]
    assert [page.cursor for page in pages] == ["701", "401", "101", None]


async def test_what_somebody_removed_is_not_shown_and_leaves_the_index(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    await room.stream.tell(*"abcdef")
    assert len(await room.found()) == 6
    room.stream.gone = {2, 5}
    assert await room.found() == [6, 4, 3, 1]
    assert room.indexer.index.sequences(0, 10) == [1, 3, 4, 6]


async def test_what_nobody_meets_is_missed_by_its_number_and_leaves_the_index(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    await room.stream.tell(*"abcdef")
    await room.found()
    room.stream.gone = {2, 5}
    monkeypatch.setattr(indexing, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(indexing, "COUNT_SECONDS", 0.0)
    await room.until(lambda: room.indexer.index.sequences(0, 10) == [1, 3, 4, 6])


async def test_another_stream_is_indexed_from_its_beginning(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "LOOK_SECONDS", 0.0)
    await room.stream.tell("former")
    assert await room.found("former") == [1]
    room.stream.messages.clear()
    room.stream.times.clear()
    room.stream.name = "second"
    await room.stream.tell("later", "latest")
    await room.until(lambda: room.indexer.index.state().stream == "second" and room.indexer.position == 2)
    assert await room.found() == [2, 1]
    assert await room.found("former") == []


async def test_a_stream_that_is_away_is_waited_for(room: Room) -> None:
    await room.stream.tell("before")
    await room.found()
    room.stream.away = True
    with pytest.raises(Unavailable):
        await room.found()
    room.stream.away = False
    await room.stream.tell("after")
    assert await room.found("after") == [2]
    assert room.history.note == ""


async def test_an_index_that_cant_be_written_is_named_and_its_events_are_in_it_later(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    await room.stream.tell("one")
    await room.found()
    monkeypatch.setattr(indexing, "_FAILED_SECONDS", 0.01)
    add = room.indexer.index.add

    def full(*_: Any) -> None:
        raise Unavailable("the disk is full")

    monkeypatch.setattr(room.indexer.index, "add", full)
    await room.stream.tell("two")
    await room.until(lambda: room.history.note)
    assert "the disk is full" in room.history.note
    page = await room.history.search(Wanted(), None, 100)
    assert [one.sequence for one in page.events] == [1], "what is in it is found all the same"
    assert (page.index.behind, page.index.problem) == (1, "the disk is full")
    monkeypatch.setattr(room.indexer.index, "add", add)
    await room.until(lambda: room.indexer.position == 2)
    assert await room.found("two") == [2]
    assert room.history.note == ""


async def test_it_is_made_again_on_demand(room: Room) -> None:
    await room.stream.tell("one", "two")
    assert await room.found("two") == [2]
    await room.indexer.reindex()
    await room.until(lambda: room.indexer.position == 2)
    assert await room.found("two") == [2]


async def test_bars_and_names(room: Room) -> None:
    await room.stream.tell("one", "two")
    await room.stream.tell("three", subject="agent.events.tool.x.failed")
    await room.found()
    bars = await room.history.histogram(Wanted())
    assert (sum(bars.events), sum(bars.failed), bars.exact) == (3, 1, True)
    bars = await room.history.histogram(Wanted(terms=("two",)))
    assert (sum(bars.events), bars.exact) == (1, False)
    names = await room.history.names()
    assert (names.kinds, names.origins, names.agents) == (["custom", "tool"], ["outside"], [])
