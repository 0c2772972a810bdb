"""The contract of EventLog, on memory and on a real nats-server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from openclaw_nats.errors import Unavailable
from openclaw_nats.events.envelope import Event, encode
from openclaw_nats.events.messages import Message, Stored
from tests.contract.world import World, world_of

A = "agent.events.custom.a"


@pytest.fixture(params=["memory", "jetstream", "jetstream-without-batches"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with world_of(request.param, tmp_path) as found:
        yield found


@pytest.fixture
def log(world: World) -> Any:
    return world.log


def messages(*numbers: int, subject: str = "agent.events.custom.a") -> list[Message]:
    return [Message(subject, f"id-{number}", f'{{"n":{number}}}'.encode()) for number in numbers]


async def bodies(log: Any, **more: Any) -> list[bytes]:
    query = {"subject": "agent.events.>", "since": None, "limit": None, "follow": False} | more
    return [message.body async for message in log.read(**query) if message is not None]


async def test_messages_are_stored_in_order_with_their_sequences(log: Any) -> None:
    assert await log.append(messages(1, 2, 3)) == [Stored(1, False), Stored(2, False), Stored(3, False)]
    assert await log.append(messages(4)) == [Stored(4, False)]
    assert await bodies(log) == [b'{"n":1}', b'{"n":2}', b'{"n":3}', b'{"n":4}']


async def test_an_id_is_stored_once_and_told_with_its_first_sequence(log: Any) -> None:
    await log.append(messages(1, 2))
    assert await log.append(messages(2, 3)) == [Stored(2, True), Stored(3, False)]
    assert await log.append(messages(1)) == [Stored(1, True)]
    assert len(await bodies(log)) == 3


async def test_more_than_one_batch_at_once(log: Any) -> None:
    results = await log.append(messages(*range(2500)))
    assert [result.sequence for result in results] == list(range(1, 2501))
    assert len(await bodies(log)) == 2500


async def test_nothing_is_fine(log: Any) -> None:
    assert await log.append([]) == []
    assert await bodies(log) == []


async def test_reading_by_subject_limit_and_time(log: Any) -> None:
    await log.append(messages(1, 2, 3) + messages(4, 5, subject="agent.events.other.b"))
    assert await bodies(log, subject="agent.events.other.*") == [b'{"n":4}', b'{"n":5}']
    assert await bodies(log, limit=2) == [b'{"n":4}', b'{"n":5}']
    assert await bodies(log, subject="agent.events.custom.>", limit=1) == [b'{"n":3}']
    assert await bodies(log, limit=0) == []
    assert len(await bodies(log, since=time.time() - 60)) == 5
    assert await bodies(log, since=time.time() + 60) == []


async def test_reading_after_a_sequence(log: Any) -> None:
    await log.append(messages(1, 2, 3) + messages(4, 5, subject="agent.events.other.b"))
    assert await bodies(log, after=3) == [b'{"n":4}', b'{"n":5}']
    assert await bodies(log, after=2, limit=1) == [b'{"n":5}']
    assert await bodies(log, after=2, subject="agent.events.custom.>") == [b'{"n":3}']
    assert await bodies(log, after=9) == []


async def test_the_newest_few_of_many_are_the_newest_also_where_only_some_are_on_the_subject(log: Any) -> None:
    await log.append(messages(*range(300)) + messages(*range(300, 400), subject="agent.events.other.b"))
    assert await bodies(log, limit=150) == [f'{{"n":{number}}}'.encode() for number in range(250, 400)]
    found = await bodies(log, limit=150, subject="agent.events.custom.>")
    assert found == [f'{{"n":{number}}}'.encode() for number in range(150, 300)]


async def test_stored_since_finds_what_is_stored_and_nothing_else(log: Any) -> None:
    began = time.time() - 1
    await log.append(messages(1, 2, 3))
    assert await log.stored_since(began, messages(2, 9)) == {"id-2": 2}
    assert await log.stored_since(time.time() + 5, messages(2)) == {}


async def test_what_was_stored_under_plain_ids_is_known_by_id_and_source_and_only_until_then(log: Any) -> None:
    began = time.time() - 1
    old = [encode(Event(specversion="1.0", id="1", source=source, type="t", subject=A)) for source in ("/a", "/b")]
    await log.append([Message(A, "1", old[0])])
    until = time.time() + 1
    again = [Message(A, f"hash-of-{source}", b"", "1", source) for source in ("/a", "/b")]
    assert await log.stored_since(began, again[:1], until) == {"hash-of-/a": 1}
    assert await log.stored_since(began, again[1:], until) == {}  # the other source's event of that id was not
    assert await log.stored_since(began, again[:1], began) == {}


async def test_following_brings_what_comes_later(log: Any) -> None:
    await log.append(messages(1))
    seen: list[bytes] = []

    async def follow() -> None:
        async for message in log.read(subject="agent.events.>", since=None, limit=None, follow=True):
            if message is not None:
                seen.append(message.body)
            if len(seen) == 3:
                return

    task = asyncio.create_task(follow())
    await asyncio.sleep(0.2)
    await log.append(messages(2))
    await log.append(messages(3))
    await asyncio.wait_for(task, 10)
    assert seen == [b'{"n":1}', b'{"n":2}', b'{"n":3}']


async def test_while_the_server_is_away_nothing_is_said_to_be_stored_and_afterwards_all_goes_on(world: World) -> None:
    await world.log.append(messages(1))
    await world.go()
    with pytest.raises(Unavailable):
        await world.log.append(messages(2))
    with pytest.raises(Unavailable):
        await bodies(world.log)
    with pytest.raises(Unavailable):
        await world.log.stored_since(time.time() - 60, messages(1))
    await world.come()
    assert await world.log.append(messages(1, 2)) == [Stored(1, True), Stored(2, False)]
    assert len(await bodies(world.log)) == 2


async def test_a_reader_that_follows_learns_that_the_server_is_gone(world: World) -> None:
    await world.log.append(messages(1))

    async def follow() -> None:
        async for _ in world.log.read(subject="agent.events.>", since=None, limit=None, follow=True):
            pass

    task = asyncio.create_task(follow())
    await asyncio.sleep(0.1)
    await world.go()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(task, 30)


async def test_closing_leaves_nobody_waiting(world: World) -> None:
    tasks = [asyncio.create_task(world.log.append(messages(number))) for number in range(50)]
    await asyncio.sleep(0)
    await world.close()
    found = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
    assert all(isinstance(one, list | Unavailable) for one in found), found
    with pytest.raises(Unavailable):
        await world.log.append(messages(99))
