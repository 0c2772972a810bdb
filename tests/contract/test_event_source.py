"""The contract of EventSource, on memory and on a real nats-server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from openclaw_nats.errors import Unavailable
from openclaw_nats.events.messages import Message
from openclaw_nats.jetstream import consumer
from tests.contract.world import ACK_SECONDS, World, taken, world_of

A, B = "agent.events.custom.a", "agent.events.custom.b"


@pytest.fixture(params=["memory", "jetstream"])
async def world(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.setattr(consumer, "ACK_SECONDS", ACK_SECONDS)
    async with world_of(request.param, tmp_path) as found:
        yield found


async def _append(world: World, subject: str, *numbers: int) -> None:
    await world.log.append([Message(subject, f"{subject}-{n}", str(n).encode()) for n in numbers])


async def _nothing(source: Any, seconds: float) -> None:
    """Nothing more comes for so long."""
    until = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until:
        assert await source.next() == []


async def test_messages_on_the_filters_come_in_order_with_their_sequences(world: World) -> None:
    source = world.source()
    await source.subscribe([A], [(A, 0)])
    await _append(world, A, 1, 2)
    await _append(world, B, 3)
    await _append(world, A, 4)
    batch: list[Any] = []
    async with asyncio.timeout(20):
        while len(batch) < 3:
            batch += await source.next()
    assert [(one.message.subject, one.message.sequence, one.message.body) for one in batch] == [
        (A, 1, b"1"),
        (A, 2, b"2"),
        (A, 4, b"4"),
    ]
    await source.acknowledge(batch)


async def test_without_filters_nothing_comes(world: World) -> None:
    await _append(world, A, 1)
    source = world.source()
    await source.subscribe([], [])
    assert (await source.standing()).position is None


async def test_what_was_acknowledged_does_not_come_to_the_next_process_and_the_rest_does(world: World) -> None:
    await _append(world, A, *range(6))
    source = world.source()
    await source.subscribe([A], [(A, 0)])
    batch: list[Any] = []
    async with asyncio.timeout(20):
        while len(batch) < 6:
            batch += await source.next()
    await source.acknowledge(batch[:4])
    again = world.source()  # the one before was killed
    await again.subscribe([A], [(A, 0)])
    assert sorted(await taken(again, 2)) == [4, 5]
    await _nothing(again, 2.5 * ACK_SECONDS)


async def test_what_is_not_acknowledged_in_time_comes_again(world: World) -> None:
    await _append(world, A, 1)
    source = world.source()
    await source.subscribe([A], [(A, 0)])
    assert await taken(source, 1, acknowledge=False) == [1]
    assert await taken(source, 1) == [1]
    await _nothing(source, 2.5 * ACK_SECONDS)


async def test_a_wider_filter_brings_what_only_it_wants_and_nothing_that_was_seen(world: World) -> None:
    await _append(world, A, 0, 1)
    await _append(world, B, 2, 3)
    source = world.source()
    await source.subscribe([A], [(A, 0)])
    assert await taken(source, 2) == [0, 1]
    await asyncio.sleep(0.3)  # acknowledgements are on their way
    await source.subscribe([A, B], [(A, 0), (B, 3)])
    await _append(world, A, 4)
    assert await taken(source, 2) == [3, 4]


async def test_a_narrower_filter_goes_on_where_it_was(world: World) -> None:
    await _append(world, A, 0)
    await _append(world, B, 1)
    source = world.source()
    await source.subscribe([A, B], [(A, 0), (B, 0)])
    assert await taken(source, 2) == [0, 1]
    await asyncio.sleep(0.3)
    await source.subscribe([A], [(A, 0)])
    await _append(world, B, 2)
    await _append(world, A, 3)
    assert await taken(source, 1) == [3]


async def test_where_stream_and_consumer_are(world: World) -> None:
    await _append(world, A, 0, 1)
    source = world.source()
    before = await source.standing()
    assert (before.first, before.last, before.position) == (1, 2, None)
    assert await source.position() == (before.stream, 2)
    await source.subscribe([A], [(A, 0)])
    await taken(source, 2)
    await _append(world, B, 2)
    async with asyncio.timeout(20):
        while (found := await source.standing()).position.handled < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert (found.position.filters, found.position.handled, found.stream) == ((A,), 3, before.stream)
    assert [await source.count_after(number) for number in (0, 2, 3, 9)] == [3, 1, 0, 0]


async def test_while_the_server_is_away_it_says_so_and_afterwards_goes_on_where_it_was(world: World) -> None:
    await _append(world, A, 0, 1)
    source = world.source()
    await source.subscribe([A], [(A, 0)])
    assert await taken(source, 2) == [0, 1]
    await asyncio.sleep(0.3)
    await world.go()
    with pytest.raises(Unavailable):
        await _nothing(source, 20)
    with pytest.raises(Unavailable):
        await source.standing()
    await world.come()
    with pytest.raises(Unavailable):  # what was open is lost: only subscribing again goes on
        await source.next()
    await source.subscribe([A], [(A, 0)])
    await _append(world, A, 2)
    assert await taken(source, 1) == [2]


async def test_closing_leaves_nobody_waiting(world: World) -> None:
    source = world.source()
    await source.subscribe([A], [(A, 0)])

    async def read() -> None:
        while True:
            await source.next()

    task = asyncio.create_task(read())
    await asyncio.sleep(0.1)
    await world.close()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(task, 30)
