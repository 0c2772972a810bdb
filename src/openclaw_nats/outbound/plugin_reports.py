"""What the plugin says of itself, every few seconds: versions, spool, hooks it may not use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from openclaw_nats.contract.plugin import PluginReport
from openclaw_nats.outbound.meters import SpoolMeters

STALE_SECONDS = 45.0


class PluginReports:
    """The last report and when it came."""

    def __init__(self, meters: SpoolMeters) -> None:
        self._meters = meters
        self.last: PluginReport | None = None
        self.received_at = 0.0
        self._next = asyncio.Event()
        self.since = 0.0
        self._received = 0.0
        self.on_report: Callable[[PluginReport], None] = lambda report: None

    @property
    def fresh(self) -> bool:
        """Whether the plugin has reported recently enough to be called running."""
        return self.last is not None and time.monotonic() - self._received < STALE_SECONDS

    def waiting(self) -> int:
        """How many events wait in the spool, as the last report says; 0 when the plugin has not reported lately."""
        return self.last.spool.events if self.fresh and self.last is not None else 0

    async def following(self, seconds: float) -> bool:
        """Wait for the next report; False when none comes in time."""
        self._next.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._next.wait()
        except TimeoutError:
            return False
        return True

    def receive(self, report: PluginReport) -> None:
        """Take a report over."""
        if not self.fresh or self.last is None or self.last.started_at != report.started_at:
            self.since = time.time()
        self.last, self.received_at, self._received = report, time.time(), time.monotonic()
        self._next.set()
        self.on_report(report)
        self._meters.events.set(report.spool.events)
        self._meters.bytes.set(report.spool.bytes)
        self._meters.oldest.set(report.spool.oldest_seconds)
        self._meters.dropped.set(report.spool.dropped)
        self._meters.reported.set(self.received_at)
