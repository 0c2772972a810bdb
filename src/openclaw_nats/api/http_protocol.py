"""uvicorn's HTTP protocol with limits it lacks (header size, header time, connections), and deaf to `Upgrade`.

uvicorn's httptools protocol reads headers of any size for as long as the client likes, so a few hundred slow clients
(slowloris) could hold every connection. Here a request's head must be complete within HEAD_SECONDS and HEAD_BYTES,
and its body within BODY_SECONDS. A timer is only set for a request that did not arrive in one piece, as nearly all do.
Trailers, of which uvicorn makes headers, are dropped, and limited as heads are.

Connections are scarce, so who has shown a credential goes first: when all are taken, a new one closes the oldest of
those that have shown none, of the peer that holds most of them. Strangers therefore push out strangers only.

A client may offer another protocol with its request (`Upgrade: h2c`: curl --http2, Java's HttpClient). A server may
ignore that and serve the request as it is (RFC 9110, 7.8). llhttp leaves out the body of such a request, so it is
parsed once more without the offer.
"""

# It overrides and calls what is uvicorn's own affair, which any release of uvicorn may change. Hence the exact version
# in pyproject.toml: for another one go through this class, and run test_http_clients.py and test_access.py.

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Collection
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from openclaw_nats.api.auth import CONNECTION
from openclaw_nats.api.problems import CONTENT_TYPE, PROBLEMS, body_of

HEAD_BYTES = 32 * 1024
HEAD_LINES = 200
HEAD_SECONDS = 10.0
BODY_SECONDS = 20.0
_OFFERS = (b"upgrade", b"http2-settings")
_numbers = itertools.count()


class LimitedHttpProtocol(HttpToolsProtocol):
    """One connection. `max_connections` is set by the server before it listens."""

    max_connections = 512

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection; when there are too many, a stranger's is closed for it, or it is answered 503."""
        self._head_bytes = 0
        self._in_head = True
        self._in_body = False
        self._stray = 0  # bytes since the last ones of a body: chunk extensions, and trailers
        self._refused = False
        self._offered = False
        self._many = False
        self._timer: asyncio.TimerHandle | None = None
        self.token = ""  # what a client says that has proven, on this connection, that it knows the key
        self.known = False  # whether a request on it has shown a credential
        self.number = next(_numbers)
        super().connection_made(transport)
        if self.client is None:  # by the socket in the state directory, which strangers can't reach
            self.known = True
        if len(self.connections) > self.max_connections and not self._close_a_stranger():
            self._refuse("unavailable", "too many connections are open", "Retry-After: 1\r\n")
            return
        self._timer = self.loop.call_later(HEAD_SECONDS, self._is_late, "head", HEAD_SECONDS)

    def _close_a_stranger(self) -> bool:
        """Close the oldest connection without a credential of the peer that has most of these; False without any."""
        others = [one for one in self.connections if isinstance(one, LimitedHttpProtocol) and one is not self]
        strangers = [one for one in others if not one.known and not one.transport.is_closing()]
        if len(others) - sum(one.transport.is_closing() for one in others) < self.max_connections:
            return True  # some are on their way out already
        if not strangers:
            return False
        peers = Counter(one.peer for one in strangers)
        most = max(peers.values())
        oldest = min((one for one in strangers if peers[one.peer] == most), key=lambda one: one.number)
        oldest._refuse("unavailable", "the connection was needed for another client", "Retry-After: 1\r\n")
        return True

    @property
    def peer(self) -> str:
        """The address of the other side, without its port."""
        return self.client[0] if self.client else ""

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
        self._stray += len(data)
        self._parse(data)
        if self._in_body and self._stray > HEAD_BYTES:
            self._refuse("headers-too-large", f"the limit for chunk extensions and trailers is {HEAD_BYTES} bytes")
            return
        if self._timer is None and (self._in_head or self._in_body) and not self.transport.is_closing():
            part, seconds = ("body", BODY_SECONDS) if self._in_body else ("head", HEAD_SECONDS)
            self._timer = self.loop.call_later(seconds, self._is_late, part, seconds)

    def _parse(self, data: bytes) -> None:
        """Feed the parser; a request that offers another protocol is fed once more without its offer."""
        self._unset_keepalive_if_required()
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                if not self._offered:  # CONNECT, which no header asks for
                    self._refuse("method-not-allowed", "this is not a proxy")
                    return
                self._offered = False
                data = self._without_offer() + data[offer.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn sets it
                continue
            except httptools.HttpParserError:
                self.send_400_response("Invalid HTTP request received.")
            return

    def _without_offer(self) -> bytes:
        """The head of the request that was just parsed, without its offer of another protocol."""
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + self.parser.get_http_version().encode()]
        for name, value in self.headers:
            if name == b"connection":
                value = b", ".join(one for one in map(bytes.strip, value.split(b",")) if one.lower() not in _OFFERS)
            if name not in _OFFERS:
                lines.append(name + b": " + value)
        return b"\r\n".join([*lines, b"", b""])

    def on_message_begin(self) -> None:
        """A request begins."""
        if not self._in_head:
            self._in_head = True
            self._head_bytes = 0
        self._many = False
        super().on_message_begin()
        self.scope[CONNECTION] = self  # type: ignore[literal-required]

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; what comes behind the body (a trailer) is none, and does not become one (RFC 9110, 6.5.1)."""
        if self._in_head and len(self.headers) < HEAD_LINES:
            super().on_header(name, value)
        elif self._in_head:
            self._many = True

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._stray = 0
        super().on_body(body)

    def on_headers_complete(self) -> None:
        """The head is complete; the body's size is the endpoint's limit."""
        if self._many:
            self._refuse("headers-too-large", f"the limit is {HEAD_LINES} headers")
            return
        self._offered = self.parser.should_upgrade() and any(name == b"upgrade" for name, _ in self.headers)
        if self.parser.should_upgrade():
            return  # nothing is begun for it: `_parse` feeds it once more, or refuses it
        self._in_head = False
        self._in_body = True
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is complete."""
        if self.parser.should_upgrade():
            return
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


def end_proven(connections: Collection[object]) -> None:
    """End the connections on which the key was proven: from now on nothing is proven there."""
    for one in list(connections):
        if isinstance(one, LimitedHttpProtocol) and one.token:
            one.token = ""
            one.shutdown()  # an answer that is under way is given first
