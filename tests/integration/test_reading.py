"""A read of a stream is whole, or an error: silence, a broken connection and a removed reader are no end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from openclaw_nats.errors import Unavailable
from openclaw_nats.events.messages import Message
from openclaw_nats.jetstream import reader, reading
from openclaw_nats.jetstream.connection import Connection
from openclaw_nats.jetstream.event_log import JetStreamEventLog
from openclaw_nats.jetstream.options import Options
from openclaw_nats.jetstream.schedule_log import JetStreamScheduleLog
from openclaw_nats.jetstream.streams import EVENTS, SCHEDULES, Streams
from openclaw_nats.settings import load
from tests.support.processes import NATS_PASSWORD, NatsServer
from tests.support.stalling_proxy import StallingProxy

COUNT = 1000


@dataclass
class World:
    proxy: StallingProxy
    connection: Connection
    log: JetStreamEventLog
    schedules: JetStreamScheduleLog

    async def ids(self, **more: object) -> list[str]:
        query = {"subject": "agent.events.>", "since": None, "limit": None, "follow": False} | more
        return [one.headers["Nats-Msg-Id"] async for one in self.log.read(**query) if one is not None]  # type: ignore[arg-type]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    server = NatsServer(tmp_path / "nats")
    server.start()
    proxy = await StallingProxy(server.port).start()
    connection = Connection(Options((f"nats://127.0.0.1:{proxy.port}",), "openclaw-nats", NATS_PASSWORD))
    streams = Streams(connection, load(tmp_path, {}))
    connection.on_connect = streams.ensure
    task = asyncio.create_task(connection.run())
    await up(connection)
    log = JetStreamEventLog(connection, streams)
    await log.append([Message("agent.events.custom.a", f"id-{n}", b"{}") for n in range(COUNT)])
    yield World(proxy, connection, log, JetStreamScheduleLog(connection, streams))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await proxy.close()
    server.close()


async def up(connection: Connection) -> None:
    async with asyncio.timeout(20):
        while not connection.ready:  # noqa: ASYNC110  (there is nothing to wait on)
            await asyncio.sleep(0.01)


EVERY = [f"id-{n}" for n in range(COUNT)]


async def test_a_stall_is_not_the_end_of_the_stream(world: World) -> None:
    world.proxy.match, world.proxy.times = f"MSG.NEXT.{EVENTS}".encode(), 2
    assert await world.ids() == EVERY
    assert world.proxy.hits == 2
    world.proxy.times = 1
    assert await world.ids(limit=600) == EVERY[-600:]


async def test_ids_are_found_through_a_stall(world: World) -> None:
    world.proxy.match, world.proxy.times = f"MSG.NEXT.{EVENTS}".encode(), 1
    wanted = [Message("agent.events.custom.a", number, b"") for number in ("id-3", f"id-{COUNT - 1}", "no")]
    assert await world.log.stored_since(0.0, wanted) == {"id-3": 4, f"id-{COUNT - 1}": COUNT}
    assert world.proxy.hits == 1


async def test_armed_ticks_and_jobs_are_read_through_a_stall(world: World) -> None:
    for number in range(5):
        await world.schedules.write(f"agent.schedules.job.{number}", b"{}")
    world.proxy.match, world.proxy.times = f"MSG.NEXT.{SCHEDULES}".encode(), 1
    assert len(await world.schedules.read("agent.schedules.job.*")) == 5
    assert world.proxy.hits == 1


async def test_silence_for_too_long_is_an_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "SILENCE_SECONDS", 0.7)
    world.proxy.match, world.proxy.times, world.proxy.stall = f"MSG.NEXT.{EVENTS}".encode(), 1, 3.0
    with pytest.raises(Unavailable, match="silent"):
        await world.ids()


async def test_a_reader_that_is_removed_meanwhile_goes_on_where_it_was(world: World) -> None:
    found: list[str] = []
    async for one in world.log.read(subject="agent.events.>", since=None, limit=None, follow=False):
        assert one is not None
        found.append(one.headers["Nats-Msg-Id"])
        if len(found) == 300:  # in the middle of the second helping
            names = (await world.connection.api(f"CONSUMER.NAMES.{EVENTS}"))["consumers"]
            for name in names:
                assert (await world.connection.api(f"CONSUMER.DELETE.{EVENTS}.{name}"))["success"]
    assert found == EVERY


async def test_a_connection_that_breaks_ends_a_read_with_an_error_or_not_at_all(world: World) -> None:
    found: list[str] = []
    try:
        async for one in world.log.read(subject="agent.events.>", since=None, limit=None, follow=False):
            assert one is not None
            found.append(one.headers["Nats-Msg-Id"])
            if len(found) == 300:
                world.proxy.break_off()
                await asyncio.sleep(0.05)
                await up(world.connection)
    except Unavailable:
        assert found == EVERY[: len(found)]
    else:
        assert found == EVERY


async def test_what_is_removed_while_it_is_read_does_not_hold_the_read_up(world: World) -> None:
    found: list[str] = []
    async with asyncio.timeout(5):
        async for one in world.log.read(subject="agent.events.>", since=None, limit=None, follow=False):
            assert one is not None
            found.append(one.headers["Nats-Msg-Id"])
            if len(found) == 200:
                purged = await world.connection.api(f"STREAM.PURGE.{EVENTS}", {"filter": "agent.events.>"})
                assert purged["success"]
    assert found[:200] == EVERY[:200]


async def test_a_read_ends_where_the_stream_ended_when_it_began(world: World) -> None:
    found: list[str] = []
    async for one in world.log.read(subject="agent.events.>", since=None, limit=None, follow=False):
        assert one is not None
        found.append(one.headers["Nats-Msg-Id"])
        if len(found) % 100 == 0:  # somebody who writes faster than we read must not keep us here
            await world.log.append(
                [Message("agent.events.custom.a", f"more-{len(found)}-{n}", b"{}") for n in range(200)]
            )
    assert found == EVERY


async def test_a_schedule_that_is_replaced_while_it_is_read_is_read(world: World) -> None:
    """A new form of a job lies behind the end that the read saw first; without it the job would seem gone."""
    for number in range(300):
        await world.schedules.write(f"agent.schedules.job.{number}", b"old")
    subjects = set()
    messages = reading.read_stream(world.connection, SCHEDULES, "agent.schedules.job.*", replaced=True)
    async for one in messages:
        assert one is not None
        if not subjects:
            await world.schedules.write("agent.schedules.job.299", b"new")
            await world.schedules.write("agent.schedules.job.280", b"new")
        subjects.add(one.subject)
    assert len(subjects) == 300
