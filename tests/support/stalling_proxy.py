"""A TCP proxy between a client and nats-server that stands still for a moment, as a lost packet or a frozen VM does."""

from __future__ import annotations

import asyncio
import contextlib


class StallingProxy:
    """Passes everything on. `times` times, when the client sends `match`, both ways stand still for `stall` seconds."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._until = 0.0
        self.match = b"\0never\0"
        self.stall = 1.5
        self.times = 0
        self.hits = 0
        self.port = 0

    async def start(self) -> StallingProxy:
        """Listen on a free port of loopback."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def break_off(self) -> None:
        """Close every connection."""
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    async def close(self) -> None:
        """Listen no more."""
        self.break_off()
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers += [writer, there_writer]
        for source, sink, up in ((reader, there_writer, True), (there_reader, writer, False)):
            task = asyncio.create_task(self._pump(source, sink, up=up))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, up: bool) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                if up and self.times > 0 and self.match in data:
                    self.times -= 1
                    self.hits += 1
                    self._until = loop.time() + self.stall
                await asyncio.sleep(max(0.0, self._until - loop.time()))
                sink.write(data)
                await sink.drain()
        sink.close()
