"""Whether an event is for a route: in the event loop when that is surely quick, else in a process with limits.

A condition that took too long on SLOW events in a row is not asked for PAUSE_SECONDS: an event of its route is a dead
letter at once then, and no other route waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from openclaw_nats.errors import Poison
from openclaw_nats.events import json_text
from openclaw_nats.events.condition_worker import Request, Verdict
from openclaw_nats.events.conditions import context_of
from openclaw_nats.inbound.route import Route
from openclaw_nats.sandbox.process import Worker

SLOW = 3
PAUSE_SECONDS = 60.0

_verdict = msgspec.json.Decoder(Verdict).decode


class Judge:
    """Judges events for routes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        warm = msgspec.json.encode(Request([], "", "{}"))
        self._worker = Worker("openclaw_nats.events.condition_worker", "the condition", warm)
        self._clock = clock
        self._slow: dict[tuple[str, ...], tuple[int, float]] = {}

    async def judge(self, route: Route, document: bytes, context: dict[str, Any] | None = None) -> str | None:
        """The flow key of an event for a route, None when a condition does not hold.

        Raises Poison when one fails on the event or takes too long, Unavailable when no process can be started.
        `context` is that of the document, if it is known already.
        """
        if not route.looks_inside:
            return ""
        if route.is_cheap(len(document)):
            return route.judge(context or context_of(json_text.values(document)))
        sources = tuple(one.source for one in route.conditions)
        key = route.key.source if route.key is not None else ""
        count, until = self._slow.get((*sources, key), (0, 0.0))
        if self._clock() < until:
            raise Poison(f"the condition took too long on {SLOW} events in a row: it is tried again after a minute")
        request = msgspec.json.encode(Request(list(sources), key, document.decode()))
        try:
            found = _verdict(await self._worker.ask(request))
        except Poison:
            pause = self._clock() + PAUSE_SECONDS if count + 1 >= SLOW else 0.0
            self._slow[(*sources, key)] = (0 if pause else count + 1, pause)
            raise
        self._slow.pop((*sources, key), None)
        if found.error:
            raise Poison(found.error)
        return found.key

    async def close(self) -> None:
        """Stop the process."""
        await self._worker.close()
