"""Connections by TLS, with a limit for those that have not finished their handshake.

asyncio's own server has none, and tells nobody of a connection before its handshake is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import Callable

HANDSHAKE_SECONDS = 10.0
_FAILED_PAUSE_SECONDS = 0.1  # no file descriptor is free, say
_BACKLOG = 2048


class TlsServer:
    """Accepts connections and hands those over of which the handshake succeeds.

    At `most` unfinished handshakes, the oldest of the peer that has most of them is ended for the next one.
    """

    def __init__(self, context: ssl.SSLContext, most: int, protocol: Callable[[], asyncio.Protocol]) -> None:
        self._context = context
        self._most = most
        self._protocol = protocol
        self._accepting: list[asyncio.Task[None]] = []
        self._open: dict[asyncio.Task[None], tuple[str, socket.socket]] = {}  # with the peer's address, oldest first

    def serve(self, listener: socket.socket) -> None:
        """Listen and accept until `close`."""
        listener.setblocking(False)
        listener.listen(_BACKLOG)
        self._accepting.append(asyncio.get_running_loop().create_task(self._accept(listener), name="tls-accept"))

    async def close(self) -> None:
        """Accept no more, and end the handshakes that are under way."""
        tasks = [*self._accepting, *self._open]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                try:
                    plain, address = await loop.sock_accept(listener)
                except OSError:
                    await asyncio.sleep(_FAILED_PAUSE_SECONDS)
                    continue
                if len(self._open) >= self._most:
                    self._end_one()
                task = loop.create_task(self._shake(plain), name="tls-handshake")
                self._open[task] = str(address[0]), plain
                task.add_done_callback(lambda task: self._open.pop(task, None))

    async def _shake(self, plain: socket.socket) -> None:
        seconds = HANDSHAKE_SECONDS
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._protocol, plain, ssl=self._context, ssl_handshake_timeout=seconds
            )
        except (OSError, TimeoutError):
            plain.close()  # it was no TLS, it took too long, or the other side went
        except BaseException:
            plain.close()
            raise

    def _end_one(self) -> None:
        most, _ = Counter(peer for peer, _ in self._open.values()).most_common(1)[0]
        task = next(task for task, (peer, _) in self._open.items() if peer == most)
        _, plain = self._open.pop(task)
        with contextlib.suppress(OSError):
            plain.shutdown(socket.SHUT_RDWR)
        task.cancel()
