"""uvicorn's HTTP protocol with limits it lacks: header size, header time, connections.

uvicorn's httptools protocol reads headers of any size for as long as the client likes, so a few hundred slow clients
(slowloris) could hold every connection. Here a request's head must be complete within HEAD_SECONDS and HEAD_BYTES,
and its body within BODY_SECONDS. A timer is only set for a request that did not arrive in one piece, as nearly all do.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from openclaw_nats.api.problems import CONTENT_TYPE, PROBLEMS, body_of

HEAD_BYTES = 32 * 1024
HEAD_SECONDS = 10.0
BODY_SECONDS = 20.0


class LimitedHttpProtocol(HttpToolsProtocol):
    """One connection. `max_connections` is set by the server before it listens."""

    max_connections = 512

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or answer 503 when there are too many."""
        self._head_bytes = 0
        self._in_head = True
        self._in_body = False
        self._refused = False
        self._timer: asyncio.TimerHandle | None = None
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            self._refuse("unavailable", "too many connections are open", "Retry-After: 1\r\n")
            return
        self._timer = self.loop.call_later(HEAD_SECONDS, self._is_late, "head", HEAD_SECONDS)

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
        if self._timer is None and (self._in_head or self._in_body) and not self.transport.is_closing():
            part, seconds = ("body", BODY_SECONDS) if self._in_body else ("head", HEAD_SECONDS)
            self._timer = self.loop.call_later(seconds, self._is_late, part, seconds)

    def on_message_begin(self) -> None:
        """A request begins."""
        if not self._in_head:
            self._in_head = True
            self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is complete; the body's size is the endpoint's limit."""
        self._in_head = False
        self._in_body = True
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._in_body = False
        self._stop_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Between two requests uvicorn's keep-alive timeout counts."""
        self._head_bytes = 0
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Bytes that are no HTTP: a problem document, as everywhere."""
        self._refuse("malformed", msg)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _is_late(self, part: str, seconds: float) -> None:
        if (self._in_head or self._in_body) and not self.transport.is_closing():
            self._refuse("timeout", f"the request's {part} did not arrive within {seconds:g} s")

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
