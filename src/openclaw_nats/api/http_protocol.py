"""uvicorn's HTTP protocol with limits it lacks: header size, header time, connections.

uvicorn's httptools protocol reads headers of any size for as long as the client likes, so a few hundred slow clients
(slowloris) could hold every connection. Here a request's head must be complete within HEAD_SECONDS and HEAD_BYTES.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from openclaw_nats.api.problems import CONTENT_TYPE, PROBLEMS, body_of

HEAD_BYTES = 32 * 1024
HEAD_SECONDS = 10.0


class LimitedHttpProtocol(HttpToolsProtocol):
    """One connection. `max_connections` is set by the server before it listens."""

    max_connections = 512

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or answer 503 when there are too many."""
        self._head_bytes = 0
        self._in_head = True
        self._refused = False
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            self._refuse("unavailable", "too many connections are open", "Retry-After: 1\r\n")
            return
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection's timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the head's bytes before they are parsed."""
        if self._refused:
            return
        if self._in_head:
            self._head_bytes += len(data)
            end = data.find(b"\r\n\r\n")
            if self._head_bytes > HEAD_BYTES and (end < 0 or self._head_bytes - len(data) + end > HEAD_BYTES):
                self._refuse("headers-too-large", f"the limit is {HEAD_BYTES} bytes")
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """A request begins: its head has HEAD_SECONDS from now."""
        if not self._in_head:
            self._in_head = True
            self._head_bytes = 0
            self._stop_timer()
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_is_late)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is complete; the body's limits are the endpoint's."""
        self._in_head = False
        self._stop_timer()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Between two requests uvicorn's keep-alive timeout counts."""
        self._head_bytes = 0
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Bytes that are no HTTP: a problem document, as everywhere."""
        self._refuse("malformed", msg)

    def _stop_timer(self) -> None:
        timer: asyncio.TimerHandle | None = getattr(self, "_head_timer", None)
        if timer is not None:
            timer.cancel()

    def _head_is_late(self) -> None:
        if self._in_head and not self.transport.is_closing():
            self._refuse("timeout", f"the request's head did not arrive within {HEAD_SECONDS:g} s")

    def _refuse(self, name: str, detail: str, extra: str = "") -> None:
        self._refused = True
        status, title = PROBLEMS[name]
        body = body_of(name, detail)
        head = (
            f"HTTP/1.1 {status} {title}\r\ncontent-type: {CONTENT_TYPE}\r\ncontent-length: {len(body)}\r\n"
            f"connection: close\r\n{extra}\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def limited(max_connections: int) -> type[LimitedHttpProtocol]:
    """The protocol class with its own number of connections."""
    namespace: dict[str, Any] = {"max_connections": max_connections}
    return type("LimitedHttpProtocol", (LimitedHttpProtocol,), namespace)
