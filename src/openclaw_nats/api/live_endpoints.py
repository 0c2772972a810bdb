"""`/api/live`: events and the state of everything as server-sent events, and the same by asking again and again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from openclaw_nats.api.endless import EndlessResponse
from openclaw_nats.api.json_answers import json_response
from openclaw_nats.api.problems import Malformed
from openclaw_nats.api.queries import number_of, parameters
from openclaw_nats.contract.views import LiveEvent, LiveGroup, LiveState, Recent
from openclaw_nats.insight.live import GROUP_SECONDS, Listener, Live

MAX_LISTENERS = 32
SILENCE_SECONDS = 10.0
FIRST_EVENTS = 200
_encode = msgspec.json.Encoder().encode


class LiveEndpoints:
    """The handlers. `lasts` says whether a session is still there: a stream ends with it."""

    def __init__(self, live: Live, state: Callable[[], Awaitable[LiveState]], lasts: Callable[[str], bool]) -> None:
        self._live = live
        self._state = state
        self._lasts = lasts
        self._open = 0

    async def stream(self, request: Request) -> Response:
        """Server-sent events: `events` (the id is the last one's sequence) and `state`, as long as the client listens.

        It begins after the sequence in `Last-Event-ID` or `after`, at most 500 back; without one with the newest 200.
        """
        if self._open >= MAX_LISTENERS:
            raise Malformed(f"{MAX_LISTENERS} live views are open already", hint="Close one, or poll /api/live/recent.")
        after = _sequence(request.headers.get("last-event-id") or parameters(request, ("after",)).get("after", ""))
        session = request.scope.get("session", "")
        return EndlessResponse(
            self._messages(after, session),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    async def recent(self, request: Request) -> Response:
        """The same for a client that polls: events after a sequence, and the state."""
        after = _sequence(parameters(request, ("after",)).get("after", ""))
        events = await self._live.recent(after, FIRST_EVENTS)
        return json_response(Recent(events, await self._state()))

    async def _messages(self, after: int, session: str) -> AsyncIterator[bytes]:
        self._open += 1
        try:
            with self._live.listen() as listener:
                yield b"retry: 2000\n\n"
                last = after
                first = await self._live.recent(after, FIRST_EVENTS)
                if first:
                    last = first[-1].sequence
                yield _group(first, 0, last)
                yield _message("state", await self._state())
                async for part in self._later(listener, last, session):
                    yield part
        finally:
            self._open -= 1

    async def _later(self, listener: Listener, last: int, session: str) -> AsyncIterator[bytes]:
        while not session or self._lasts(session):
            try:
                async with asyncio.timeout(SILENCE_SECONDS):
                    await listener.woken.wait()
            except TimeoutError:
                yield b": still here\n\n"
                continue
            await asyncio.sleep(GROUP_SECONDS)
            events, skipped, state = listener.take()
            events = [one for one in events if one.sequence > last]
            if events or skipped:
                last = events[-1].sequence if events else last
                yield _group(events, skipped, last)
            if state is not None:
                yield _message("state", state)
        yield b"event: signed-out\ndata: {}\n\n"


def _group(events: list[LiveEvent], skipped: int, last: int) -> bytes:
    return b"id: %d\n" % last + _message("events", LiveGroup(events, skipped))


def _message(kind: str, value: msgspec.Struct) -> bytes:
    return f"event: {kind}\ndata: ".encode() + _encode(value) + b"\n\n"


def _sequence(value: str) -> int:
    return number_of(value, "after") if value else 0
