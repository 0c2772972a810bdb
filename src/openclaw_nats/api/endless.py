"""Answers that go on until the client leaves. A sidecar that stops ends them at once instead of waiting for them."""

from __future__ import annotations

import asyncio

from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class EndlessResponse(StreamingResponse):
    """A streaming answer without an end of its own; `end_all` ends it, and its client comes back later."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and be known to the application for as long as it takes."""
        task = asyncio.current_task()
        running: set[asyncio.Task[None]] = _running(scope["app"])
        if task is not None:
            running.add(task)
        try:
            await super().__call__(scope, receive, send)
        finally:
            running.discard(task)


def end_all(app: Starlette) -> None:
    """End every endless answer of an application."""
    for task in list(_running(app)):
        task.cancel()


def _running(app: Starlette) -> set[asyncio.Task[None]]:
    if not hasattr(app.state, "endless"):
        app.state.endless = set()
    found: set[asyncio.Task[None]] = app.state.endless
    return found
