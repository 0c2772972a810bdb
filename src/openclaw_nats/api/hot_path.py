"""The way of an event that is published, or sent to a source: one plain ASGI callable, in front of all routing.

Most requests are these two, and half of the time of a single one went into looking for its endpoint. What is answered
here is answered as the application would: the same key, limits, handlers and problem documents. Whatever is not plainly
such a request goes the usual way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from openclaw_nats.api.auth import Authority
from openclaw_nats.api.failures import Failures
from openclaw_nats.api.ingest_endpoints import IngestEndpoints
from openclaw_nats.errors import OpenClawNatsError

Handler = Callable[[Request], Awaitable[Response]]


class HotPath:
    """The API: publishing at once, all else by `app`. `reshaping` gives what an answer goes out by (compat.py)."""

    def __init__(
        self,
        app: Starlette,
        *,
        authority: Authority,
        ingest: IngestEndpoints,
        failures: Failures,
        reshaping: Callable[[Scope, Send], Send],
    ) -> None:
        self.app = app
        self.front_door: ASGIApp | None = None  # for the addresses of sources
        self._authority = authority
        self._failures = failures
        self._reshaping = reshaping
        self._handlers: dict[bytes, Handler] = {b"/api/publish": ingest.publish, b"/api/events": ingest.events}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = None
        if self.front_door is not None and scope["type"] == "http" and scope["path"].startswith("/in/"):
            await self.front_door(scope, receive, send)
            return
        if scope["type"] == "http" and scope["method"] == "POST":
            handler = self._handlers.get(scope.get("raw_path") or b"")
        if handler is None or not self._authority.admit(scope):
            await self.app(scope, receive, send)
            return
        send = self._reshaping(scope, send)
        request = Request(scope, receive)
        try:
            response = await handler(request)
        except OpenClawNatsError as error:
            response = await self._failures.known(request, error)
        except Exception as error:
            response = await self._failures.bug(request, error)
        await response(scope, receive, send)
