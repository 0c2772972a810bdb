"""The part of the health report about cron jobs and timers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from msgspec import UNSET

from openclaw_nats.contract.health import SchedulesHealth
from openclaw_nats.errors import Unavailable, Unsupported
from openclaw_nats.jetstream.streams import SCHEDULES, Streams
from openclaw_nats.schedules.keeper import Keeper
from openclaw_nats.schedules.missing_jobs import MissingJobs
from openclaw_nats.schedules.timer_book import TimerBook

_REPORT_SECONDS = 3.0


@dataclass
class SchedulesReport:
    """Whether jobs and timers fire, as far as this sidecar can tell."""

    keeper: Keeper
    timers: TimerBook
    streams: Streams
    missing: MissingJobs

    async def report(self) -> SchedulesHealth:
        """The part of `/api/health` about schedules."""
        try:
            async with asyncio.timeout(_REPORT_SECONDS):
                timers = await self.timers.count()
                sources = (await self.streams.state())["sources"]
        except (Unavailable, Unsupported, TimeoutError) as error:
            text = str(error) or f"JetStream did not answer within {_REPORT_SECONDS:g} s"
            return SchedulesHealth(False, text, self.keeper.jobs, None)
        source: dict[str, Any] = next((one for one in sources if one["name"] == SCHEDULES), {})
        return SchedulesHealth(
            available=True,
            last_error=self.keeper.problem or source.get("error", {}).get("description", ""),
            jobs=self.keeper.jobs,
            timers=timers,
            lag=source.get("lag", 0),
            lost=self.missing.report() or UNSET,
        )
