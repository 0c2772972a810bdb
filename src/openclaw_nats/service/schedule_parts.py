"""Schedules, put together: books → schedules stream ← keeper."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from openclaw_nats.audit.trail import Trail
from openclaw_nats.events.envelope import Event
from openclaw_nats.events.identity import Identity
from openclaw_nats.events.origin import Origin
from openclaw_nats.events.seals import SEAL
from openclaw_nats.fleet.living import why_not_gone
from openclaw_nats.fleet.place import place_of
from openclaw_nats.health.schedules import SchedulesReport
from openclaw_nats.jetstream.connection import Connection
from openclaw_nats.jetstream.lease_store import JetStreamLeaseStore
from openclaw_nats.jetstream.schedule_log import JetStreamScheduleLog
from openclaw_nats.jetstream.streams import Streams
from openclaw_nats.outbound.ingest import Ingest
from openclaw_nats.ports import EventLog, Gate, WakeBook
from openclaw_nats.schedules.cron_book import CronBook
from openclaw_nats.schedules.handover import Handover
from openclaw_nats.schedules.keeper import Keeper
from openclaw_nats.schedules.missing_jobs import MissingJobs
from openclaw_nats.schedules.timer_book import TimerBook
from openclaw_nats.schedules.waking import Waking
from openclaw_nats.settings import Settings
from openclaw_nats.storage.database import Database


@dataclass
class Schedules:
    """The parts of schedules; `runs` are the tasks that they need."""

    log: JetStreamScheduleLog
    keeper: Keeper
    cron: CronBook
    timers: TimerBook
    handover: Handover
    waking: Waking
    health: SchedulesReport

    def runs(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Every task, by name."""
        return {"schedules": self.keeper.run, "wakes": lambda: self.waking.run(self.cron.wakes)}


def build_schedules(
    settings: Settings,
    connection: Connection,
    streams: Streams,
    ingest: Ingest,
    identity: Identity,
    gate: Gate,
    wakes: WakeBook,
    trail: Trail,
    database: Database,
    events: EventLog,
) -> Schedules:
    """Wire schedules; their events go through the same filter and redaction as all others."""
    leases, place = JetStreamLeaseStore(connection, streams, settings.gateway_id), place_of(settings.home)

    async def prepare(event: Event) -> bytes:
        return (await ingest.prepare(event)).body

    def seal(subject: str, body: bytes, origin: Origin) -> dict[str, str]:
        return {SEAL: identity.seals.tick(subject, body, origin)}

    async def why_not(gateway: str) -> str:
        return why_not_gone(gateway, await leases.of(gateway), place, clock())

    log = JetStreamScheduleLog(connection, streams)
    clock = streams.clock.now  # schedules fire by the stream's clock
    missing = MissingJobs(database, events, identity, settings.gateway_id)
    keeper = Keeper(log, settings.gateway_id, prepare, seal, gate=gate, clock=clock, watch=missing)
    waking = Waking(log, settings.gateway_id, wakes, gate)
    cron = CronBook(
        log,
        keeper,
        settings.gateway_id,
        settings.schedules.timezone,
        prepare,
        seal,
        clock=clock,
        waking=waking,
        trail=trail,
    )
    timers = TimerBook(log, settings.gateway_id, prepare, seal, clock=clock, waking=waking, trail=trail)
    return Schedules(
        log=log,
        keeper=keeper,
        cron=cron,
        timers=timers,
        handover=Handover(log, keeper, cron, timers, settings.gateway_id, why_not, clock=clock, trail=trail),
        waking=waking,
        health=SchedulesReport(keeper, timers, streams, missing),
    )
