"""The server behind the ports: none (memory), or a real nats-server that can be away for a while."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

from openclaw_nats.jetstream.connection import Connection
from openclaw_nats.jetstream.consumer import JetStreamSource
from openclaw_nats.jetstream.event_log import JetStreamEventLog
from openclaw_nats.jetstream.options import Options
from openclaw_nats.jetstream.schedule_log import JetStreamScheduleLog
from openclaw_nats.jetstream.streams import Streams
from openclaw_nats.ports import Mark, Position
from openclaw_nats.settings import load
from tests.support.memory_log import MemoryLog
from tests.support.memory_schedules import MemorySchedules
from tests.support.memory_source import MemoryConsumer, MemorySource
from tests.support.processes import NATS_PASSWORD, NatsServer

ACK_SECONDS = 1


class World(Protocol):
    """One server, and the ports to it. `source` gives a reader with the one durable consumer, as a new process has."""

    log: Any
    schedules: Any

    def source(self) -> Any:
        """A new reader."""

    async def go(self) -> None:
        """The server is killed."""

    async def come(self) -> None:
        """It is back, with what it had."""

    async def close(self) -> None:
        """This side ends its connection."""


class Memory:
    """The ports in memory."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.schedules = MemorySchedules()
        self._consumer = MemoryConsumer(ACK_SECONDS)

    def source(self) -> MemorySource:
        return MemorySource(self.log, self._consumer, lambda: self.schedules.away)

    async def go(self) -> None:
        self.log.away = self.schedules.away = True

    async def come(self) -> None:
        self.log.away = self.schedules.away = False

    async def close(self) -> None:
        await self.go()


class Kept:
    """Positions of the consumer, in memory."""

    def __init__(self) -> None:
        self.position: Position | None = None
        self.kept_mark: Mark | None = None

    async def mark(self) -> Mark | None:
        return self.kept_mark

    async def keep_mark(self, mark: Mark, position: Position | None = None) -> None:
        self.kept_mark, self.position = mark, position or self.position

    async def load(self) -> Position | None:
        return self.position

    async def save(self, position: Position) -> None:
        self.position = position


class Server:
    """The ports to a real nats-server."""

    def __init__(self, server: NatsServer, connection: Connection, streams: Streams, task: asyncio.Task[None]) -> None:
        self._server = server
        self.streams = streams
        self._task = task
        self.connection = connection
        self.kept = Kept()
        self.log = JetStreamEventLog(connection, streams)
        self.schedules = JetStreamScheduleLog(connection, streams)

    def source(self) -> JetStreamSource:
        return JetStreamSource(self.connection, "kitchen", self.kept)

    async def go(self) -> None:
        await asyncio.to_thread(self._server.kill)
        await self.until(lambda: not self.connection.connected)

    async def come(self) -> None:
        await asyncio.to_thread(self._server.start)
        await self.until(lambda: self.connection.ready)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    @staticmethod
    async def until(condition: Any, seconds: float = 30) -> None:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110  (there is nothing to wait on)
                await asyncio.sleep(0.01)


async def taken(source: Any, count: int, *, acknowledge: bool = True, seconds: float = 20) -> list[int]:
    """The bodies of at least so many messages, which are numbers."""
    found: list[int] = []
    async with asyncio.timeout(seconds):
        while len(found) < count:
            batch = await source.next()
            found += [int(one.message.body) for one in batch]
            if acknowledge:
                await source.acknowledge(batch)
    return found


@contextlib.asynccontextmanager
async def server_of(folder: Path) -> AsyncIterator[Server]:
    """A real nats-server, and the ports to it."""
    server = NatsServer(folder / "nats")
    server.start()
    connection = Connection(Options((server.url,), "openclaw-nats", NATS_PASSWORD))
    streams = Streams(connection, load(folder, {}))
    connection.on_connect = streams.ensure
    world = Server(server, connection, streams, asyncio.create_task(connection.run()))
    try:
        await world.until(lambda: connection.ready, 20)
        yield world
    finally:
        await world.close()
        server.close()


@contextlib.asynccontextmanager
async def world_of(kind: str, folder: Path) -> AsyncIterator[World]:
    """A world of that kind: memory, jetstream, or jetstream-without-batches (as on a server older than 2.12)."""
    if kind == "memory":
        yield Memory()
        return
    async with server_of(folder) as world:
        assert world.streams.atomic
        world.streams.atomic = kind != "jetstream-without-batches"
        yield world
