"""What has to be done now and then: routes that have ended, room in the database, figures for the metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from openclaw_nats.errors import Unavailable
from openclaw_nats.inbound.flow_control import FlowControl
from openclaw_nats.inbound.inbox_space import InboxSpace
from openclaw_nats.inbound.loop_guard import LoopGuard
from openclaw_nats.inbound.meters import InboundMeters
from openclaw_nats.inbound.positions import Takeover
from openclaw_nats.inbound.route_book import RouteBook

log = structlog.get_logger(__name__)

EVERY_SECONDS = 5.0


class Housekeeping:
    """`note_plugin` writes down what the plugin has turned out to be able to do."""

    def __init__(
        self,
        *,
        book: RouteBook,
        flow: FlowControl,
        guard: LoopGuard,
        space: InboxSpace,
        takeover: Takeover,
        meters: InboundMeters,
        note_plugin: Callable[[], Awaitable[None]],
    ) -> None:
        self._book = book
        self._flow = flow
        self._guard = guard
        self._space = space
        self._takeover = takeover
        self._meters = meters
        self._note_plugin = note_plugin

    async def run(self) -> None:
        """Keep house until cancelled."""
        await self._takeover.load()
        while True:
            self._meters.waiting.set(self._flow.waiting)
            self._meters.loops.set(self._guard.stopped)
            self._meters.open_breakers.set(sum(lane.breaker.open for lane in self._flow.lanes()))
            try:
                await self._note_plugin()
                await self._book.remove_ended()
                await self._space.tend()
            except Unavailable as error:
                log.debug("housekeeping.wait", error=str(error))
            await asyncio.sleep(EVERY_SECONDS)
