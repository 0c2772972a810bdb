"""Schedules, put together: books → schedules stream ← keeper."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from openclaw_nats.contract.health import SchedulesHealth
from openclaw_nats.errors import Unavailable, Unsupported
from openclaw_nats.events.envelope import Event
from openclaw_nats.events.identity import SEAL, Identity
from openclaw_nats.fleet.living import why_not_gone
from openclaw_nats.fleet.place import place_of
from openclaw_nats.jetstream.connection import Connection
from openclaw_nats.jetstream.lease_store import JetStreamLeaseStore
from openclaw_nats.jetstream.schedule_log import JetStreamScheduleLog
from openclaw_nats.jetstream.streams import SCHEDULES, Streams
from openclaw_nats.outbound.ingest import Ingest
from openclaw_nats.ports import Gate
from openclaw_nats.schedules.cron_book import CronBook
from openclaw_nats.schedules.handover import Handover
from openclaw_nats.schedules.keeper import Keeper
from openclaw_nats.schedules.timer_book import TimerBook
from openclaw_nats.settings import Settings

_REPORT_SECONDS = 3.0


@dataclass
class Schedules:
    """The parts of schedules; `runs` are the tasks that they need."""

    log: JetStreamScheduleLog
    keeper: Keeper
    cron: CronBook
    timers: TimerBook
    handover: Handover
    streams: Streams

    def runs(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Every task, by name."""
        return {"schedules": self.keeper.run}

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
        )


def build_schedules(
    settings: Settings, connection: Connection, streams: Streams, ingest: Ingest, identity: Identity, gate: Gate
) -> Schedules:
    """Wire schedules; their events go through the same filter and redaction as all others."""
    leases, place = JetStreamLeaseStore(connection, streams, settings.gateway_id), place_of(settings.home)

    async def prepare(event: Event) -> bytes:
        return (await ingest.prepare(event)).body

    def seal(subject: str, body: bytes) -> dict[str, str]:
        return {SEAL: identity.seal(subject, body)}

    async def why_not(gateway: str) -> str:
        return why_not_gone(gateway, await leases.of(gateway), place, clock())

    log = JetStreamScheduleLog(connection, streams)
    clock = streams.clock.now  # schedules fire by the stream's clock
    keeper = Keeper(log, settings.gateway_id, prepare, seal, gate=gate, clock=clock)
    cron = CronBook(log, keeper, settings.gateway_id, settings.schedules.timezone, prepare, seal, clock=clock)
    timers = TimerBook(log, settings.gateway_id, prepare, seal, clock=clock)
    return Schedules(
        log=log,
        keeper=keeper,
        cron=cron,
        timers=timers,
        handover=Handover(log, keeper, cron, timers, settings.gateway_id, why_not, clock=clock),
        streams=streams,
    )
