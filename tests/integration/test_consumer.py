"""The durable consumer on a real nats-server: what it has not handed out yet is never lost with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from openclaw_nats.events.messages import Message
from openclaw_nats.jetstream.connection import Connection
from openclaw_nats.jetstream.consumer import JetStreamSource
from openclaw_nats.jetstream.event_log import JetStreamEventLog
from openclaw_nats.jetstream.streams import EVENTS
from openclaw_nats.ports import Position
from tests.contract.world import Kept, server_of, taken

A, B = "agent.events.custom.a", "agent.events.custom.b"


class Died(Exception):
    """kill -9."""


@dataclass
class World:
    connection: Connection
    log: JetStreamEventLog
    kept: Kept

    def source(self, name: str = "kitchen") -> JetStreamSource:
        return JetStreamSource(self.connection, name, self.kept)

    async def append(self, subject: str, *numbers: int) -> None:
        await self.log.append([Message(subject, f"{subject}-{n}", str(n).encode()) for n in numbers])

    async def taken(self, source: JetStreamSource, count: int, *, acknowledge: bool = True) -> list[int]:
        return await taken(source, count, acknowledge=acknowledge, seconds=10)

    async def info(self, name: str) -> dict[str, Any]:
        return await self.connection.api(f"CONSUMER.INFO.{EVENTS}.{name}")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with server_of(tmp_path) as server:
        yield World(server.connection, server.log, server.kept)


async def settled(world: World, name: str = "openclaw-nats-kitchen") -> None:
    """Acknowledgements are on their way: wait until the server has them."""
    async with asyncio.timeout(10):
        while (await world.info(name))["num_ack_pending"]:  # noqa: ASYNC110  (there is nothing to wait on)
            await asyncio.sleep(0.02)


async def test_a_process_that_dies_between_the_old_consumer_and_the_new_one_goes_on_from_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.append(A, *range(10))
    source = world.source()
    await source.subscribe([A], [(A, 0)])
    assert await world.taken(source, 10) == list(range(10))
    await settled(world)
    await world.append(A, 10, 11)

    async def die(*_: object) -> None:
        raise Died

    monkeypatch.setattr(JetStreamSource, "_create", die)
    with pytest.raises(Died):
        await source.subscribe([A, B], [(A, 0), (B, 12)])
    monkeypatch.undo()
    assert "error" in await world.info(source.name)  # the consumer is gone, its position is not
    again = world.source()
    await again.subscribe([A, B], [(A, 0), (B, 12)])
    assert await world.taken(again, 2) == [10, 11]


async def test_a_consumer_is_not_deleted_when_its_position_cannot_be_saved(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = world.source()
    await source.subscribe([A], [(A, 0)])

    async def fail(_: Position) -> None:
        raise Died

    monkeypatch.setattr(world.kept, "save", fail)
    with pytest.raises(Died):
        await source.subscribe([A, B], [(A, 0), (B, 0)])
    assert (await world.info(source.name))["config"]["filter_subjects"] == [A]


async def test_without_routes_the_consumer_keeps_its_place(world: World) -> None:
    await world.append(A, 1, 2, 3)
    source = world.source()
    await source.subscribe([A], [(A, 0)])
    await source.subscribe([], [])
    assert (await world.info(source.name))["num_pending"] == 3
    await source.subscribe([A], [(A, 0)])
    assert await world.taken(source, 3) == [1, 2, 3]


async def test_a_saved_position_of_another_stream_is_not_used(world: World) -> None:
    world.kept.position = Position("2020-01-01T00:00:00Z", (A,), 1000)
    await world.append(A, 1, 2)
    source = world.source()
    await source.subscribe([A], [(A, 0)])
    assert await world.taken(source, 2) == [1, 2]


async def test_a_name_with_signs_goes_on_from_the_consumer_that_it_had_before(world: World) -> None:
    """0.1.0 called the consumers of `a.b` and `a-b` the same; after the update `a.b` has one of its own."""
    await world.append(A, *range(5))
    before = world.source("a-b")
    await before.subscribe([A], [(A, 0)])
    await world.taken(before, 5)
    await settled(world, before.name)
    await world.append(A, 5, 6)
    after = world.source("a.b")
    assert after.name != before.name
    await after.subscribe([A], [(A, 0)])
    assert await world.taken(after, 2) == [5, 6]
    other = await world.info(before.name)
    assert other["num_pending"] + other["num_ack_pending"] == 2  # and the other one still has its own


async def test_what_is_purged_or_deleted_does_not_make_a_stream_another_one(world: World) -> None:
    await world.append(A, *range(10))
    source = world.source()
    name = (await source.standing()).stream
    for request, body in (
        (f"STREAM.MSG.DELETE.{EVENTS}", {"seq": 10}),
        (f"STREAM.MSG.DELETE.{EVENTS}", {"seq": 4}),
        (f"STREAM.PURGE.{EVENTS}", {"keep": 2}),
        (f"STREAM.PURGE.{EVENTS}", {}),
    ):
        assert (await world.connection.api(request, body))["success"]
        standing = await world.source().standing()  # a process that has just begun looks closely
        assert (standing.stream, standing.kept, standing.last) == (name, 0, 10)
    await world.append(A, 10)
    assert (await world.source().standing()).stream == name
