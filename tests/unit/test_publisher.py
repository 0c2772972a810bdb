"""Group commit: what shares an append, what each caller is told, what happens when the log fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from openclaw_nats.errors import InvalidInput, Mistake, TooLarge, Unavailable
from openclaw_nats.events.messages import Message, Stored
from openclaw_nats.outbound.publisher import MAX_GROUP, GroupCommitPublisher
from tests.support.memory_log import MemoryLog


def message(number: int | str, size: int = 10) -> Message:
    return Message("agent.events.custom.a", f"id-{number}", b"x" * size)


class SlowLog(MemoryLog):
    """Waits until it is let go, and keeps the sizes of its appends."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.groups: list[int] = []
        self.failure: Exception | None = None

    async def append(self, messages: Sequence[Message]) -> list[Stored | InvalidInput]:
        self.groups.append(len(messages))
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return await super().append(messages)


@pytest.fixture
async def log() -> SlowLog:
    return SlowLog()


@pytest.fixture
async def publisher(log: SlowLog) -> AsyncIterator[GroupCommitPublisher]:
    one = GroupCommitPublisher(log)
    task = asyncio.create_task(one.run())
    yield one
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_waits_at_the_same_moment_shares_one_append(publisher: GroupCommitPublisher, log: SlowLog) -> None:
    first = asyncio.create_task(publisher.publish([message("first")]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.create_task(publisher.publish([message(n)])) for n in range(50)]
    await asyncio.sleep(0)
    log.gate.set()
    await asyncio.gather(first, *others)
    assert log.groups == [1, 50]
    assert [one.id for one in log.messages] == ["id-first", *(f"id-{n}" for n in range(50))]


async def test_a_large_request_is_split_and_told_as_one(publisher: GroupCommitPublisher, log: SlowLog) -> None:
    log.gate.set()
    results = await publisher.publish([message(n) for n in range(MAX_GROUP * 2 + 1)])
    assert log.groups == [MAX_GROUP, MAX_GROUP, 1]
    assert [result.sequence for result in results if isinstance(result, Stored)] == list(range(1, MAX_GROUP * 2 + 2))


async def test_groups_are_bounded_in_bytes(publisher: GroupCommitPublisher, log: SlowLog) -> None:
    log.gate.set()
    await publisher.publish([message(n, 3 << 20) for n in range(5)])
    assert log.groups == [2, 2, 1]


async def test_an_id_under_way_is_stored_once_and_told_as_a_duplicate(
    publisher: GroupCommitPublisher, log: SlowLog
) -> None:
    first = asyncio.create_task(publisher.publish([message(1)]))
    await asyncio.sleep(0)
    second = asyncio.create_task(publisher.publish([message(1), message(2), message(2)]))
    await asyncio.sleep(0)
    log.gate.set()
    assert await first == [Stored(1, False)]
    assert await second == [Stored(1, True), Stored(2, False), Stored(2, True)]
    assert len(log.messages) == 2


async def test_a_failure_reaches_every_caller_and_the_next_request_works(
    publisher: GroupCommitPublisher, log: SlowLog
) -> None:
    log.failure = Unavailable("gone", retry_after=7)
    log.gate.set()
    outcomes = await asyncio.gather(*(publisher.publish([message(n)]) for n in range(5)), return_exceptions=True)
    assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
    log.failure = None
    assert await publisher.publish([message(0)]) == [Stored(1, False)]


async def test_an_unexpected_error_is_a_mistake_of_ours_and_does_not_stop_the_publisher(
    publisher: GroupCommitPublisher, log: SlowLog
) -> None:
    log.failure = RuntimeError("bug")
    log.gate.set()
    with pytest.raises(Mistake, match="bug"):
        await publisher.publish([message(1)])
    log.failure = None
    assert await publisher.publish([message(1)]) == [Stored(1, False)]


async def test_a_caller_that_goes_away_does_not_disturb_another_with_the_same_id(
    publisher: GroupCommitPublisher, log: SlowLog
) -> None:
    leaver = asyncio.create_task(publisher.publish([message(1)]))
    await asyncio.sleep(0)
    stayer = asyncio.create_task(publisher.publish([message(1)]))
    await asyncio.sleep(0)
    leaver.cancel()
    log.gate.set()
    assert await stayer == [Stored(1, True)]
    assert len(log.messages) == 1


async def test_a_message_that_can_never_be_stored_does_not_cost_the_others(
    publisher: GroupCommitPublisher, log: SlowLog
) -> None:
    log.too_large = {"id-2"}
    log.gate.set()
    results = await publisher.publish([message(1), message(2), message(3)])
    assert isinstance(results[1], TooLarge)
    assert [type(result) for result in results] == [Stored, TooLarge, Stored]


async def test_more_than_memory_allows_is_refused_and_room_comes_back(
    publisher: GroupCommitPublisher, log: SlowLog
) -> None:
    waiting = asyncio.create_task(publisher.publish([message(n, 1 << 20) for n in range(60)]))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="memory"):
        await publisher.publish([message("more", 5 << 20)])
    log.gate.set()
    await waiting
    assert len(await publisher.publish([message("more", 5 << 20)])) == 1
