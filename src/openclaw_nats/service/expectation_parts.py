"""Expectations, put together: stream → episodes → deadlines, watermark → notices."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from openclaw_nats.audit.trail import Trail
from openclaw_nats.contract.plugin import PluginReport
from openclaw_nats.events.identity import Identity
from openclaw_nats.expectations.book import ExpectationBook
from openclaw_nats.expectations.deadlines import Deadlines
from openclaw_nats.expectations.notices import Notices
from openclaw_nats.expectations.run_events import BEGINS, ENDS
from openclaw_nats.expectations.times import Times, boot_id
from openclaw_nats.expectations.watch import ExpectationWatch
from openclaw_nats.expectations.watchdog import Watchdog
from openclaw_nats.expectations.watermark import Watermark
from openclaw_nats.inbound.judging import Judge
from openclaw_nats.jetstream.connection import Connection
from openclaw_nats.jetstream.event_log import JetStreamEventLog
from openclaw_nats.jetstream.follower import JetStreamFollower
from openclaw_nats.jetstream.streams import Streams
from openclaw_nats.outbound.filters import SubjectFilter
from openclaw_nats.ports import Gate, ScheduleLog, Standing
from openclaw_nats.settings import Settings
from openclaw_nats.storage.database import Database

_OF_RUNS = {"agent.run_ended", "model.call"}


@dataclass
class Expectations:
    """The parts; `runs` are the tasks that they need."""

    book: ExpectationBook
    watch: ExpectationWatch
    watermark: Watermark
    watchdog: Watchdog
    judge: Judge

    def runs(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Every task, by name."""
        return {"expectations": self.watch.run}

    @property
    def followers(self) -> list[Callable[[PluginReport], None]]:
        """Who takes the plugin's reports."""
        return [self.watermark.receive, self.watchdog.receive]

    def heed(self, stopped: Callable[[], Mapping[str, str]]) -> None:
        """Without the events by which runs are known, no run misses its end; `stopped` are kinds that came before."""
        self.watchdog.ends_come = lambda: not _OF_RUNS & stopped().keys()

    async def close(self) -> None:
        """After the tasks."""
        await self.judge.close()


def build_expectations(
    settings: Settings,
    connection: Connection,
    streams: Streams,
    event_log: JetStreamEventLog,
    identity: Identity,
    gate: Gate,
    schedule_log: ScheduleLog,
    standing: Callable[[], Awaitable[Standing]],
    leases: Callable[[], Awaitable[list[bytes]]],
    trail: Trail,
    database: Database,
) -> Expectations:
    """Wire expectations; deadlines are by the stream's clock, which fires them."""
    gateway_id = settings.gateway_id
    times = Times(streams.clock.now, boot=boot_id())
    watermark = Watermark(gateway_id, leases, times)
    book = ExpectationBook(database, trail, streams.last_sequence, times, settings.schedules.timezone)
    judge = Judge()  # not the routes': a slow key must not hold those up
    watchdog = _watchdog(settings, times)
    watch = ExpectationWatch(
        database=database,
        book=book,
        stream=JetStreamFollower(connection),
        standing=standing,
        deadlines=Deadlines(schedule_log, identity, gateway_id),
        notices=Notices(database, event_log, identity, gateway_id),
        watermark=watermark,
        judge=judge,
        times=times,
        gate=gate,
        watchdog=watchdog,
    )
    book.behind, book.built_in = watch.behind, watchdog.shown
    return Expectations(book, watch, watermark, watchdog, judge)


def _watchdog(settings: Settings, times: Times) -> Watchdog:
    """Where the filter keeps ends of runs or calls of models out, none is missing."""
    allows = SubjectFilter(settings.filter.allow, settings.filter.block).allows
    seen = allows(ENDS) and allows(BEGINS.replace("*", "completed")) and allows(BEGINS.replace("*", "failed"))
    return Watchdog(settings.gateway_id, times, enabled=settings.watchdog.enabled and seen)
