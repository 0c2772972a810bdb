"""The server behind the ports: none (memory), or a real nats-server that can be away for a while."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

from openclaw_nats.jetstream.connection import Connection, Options
from openclaw_nats.jetstream.consumer import JetStreamSource
from openclaw_nats.jetstream.event_log import JetStreamEventLog
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
        self._task = task
        self._connection = connection
        self._kept = Kept()
        self.log = JetStreamEventLog(connection, streams)
        self.schedules = JetStreamScheduleLog(connection, streams)

    def source(self) -> JetStreamSource:
        return JetStreamSource(self._connection, "kitchen", self._kept)

    async def go(self) -> None:
        await asyncio.to_thread(self._server.kill)
        await self._until(lambda: not self._connection.connected)

    async def come(self) -> None:
        await asyncio.to_thread(self._server.start)
        await self._until(lambda: self._connection.ready)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    @staticmethod
    async def _until(condition: Any) -> None:
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110  (there is nothing to wait on)
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def world_of(kind: str, folder: Path) -> AsyncIterator[World]:
    """A world of that kind: memory, jetstream, or jetstream-without-batches (as on a server older than 2.12)."""
    if kind == "memory":
        yield Memory()
        return
    server = NatsServer(folder / "nats")
    server.start()
    connection = Connection(Options((server.url,), "openclaw-nats", NATS_PASSWORD))
    streams = Streams(connection, load(folder, {}))
    connection.on_connect = streams.ensure
    task = asyncio.create_task(connection.run())
    world = Server(server, connection, streams, task)
    try:
        await world._until(lambda: connection.ready)
        assert streams.atomic
        if kind == "jetstream-without-batches":
            streams.atomic = False
        yield world
    finally:
        await world.close()
        server.close()
