"""What is really reachable, each part with its last error."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Literal

from msgspec import UNSET, UnsetType

from openclaw_nats import __version__
from openclaw_nats.contract import health as shapes
from openclaw_nats.errors import Unavailable
from openclaw_nats.events.envelope import format_past
from openclaw_nats.fleet.lease import Lease
from openclaw_nats.gateway.probe import GatewayProbe
from openclaw_nats.health import disks
from openclaw_nats.jetstream.connection import Connection
from openclaw_nats.jetstream.event_log import JetStreamEventLog
from openclaw_nats.jetstream.streams import Streams
from openclaw_nats.outbound.meters import IngestMeters
from openclaw_nats.outbound.plugin_reports import PluginReports
from openclaw_nats.settings import Settings
from openclaw_nats.url_secrets import masked

_STATE_SECONDS = 3.0


async def _unknown() -> None:
    """Nobody counts."""


class Health:
    """Puts the report of `/api/health` together."""

    def __init__(
        self,
        *,
        settings: Settings,
        connection: Connection,
        streams: Streams,
        event_log: JetStreamEventLog,
        lease: Lease,
        gateway: GatewayProbe,
        reports: PluginReports,
        meters: IngestMeters,
        plugin_connected: Callable[[], bool],
        inbound: Callable[[], Awaitable[shapes.DeliveryHealth]],
        schedules: Callable[[], Awaitable[shapes.SchedulesHealth]],
    ) -> None:
        self._settings = settings
        self._connection = connection
        self._streams = streams
        self._event_log = event_log
        self._lease = lease
        self._gateway = gateway
        self._reports = reports
        self._meters = meters
        self._plugin_connected = plugin_connected
        self._inbound = inbound
        self._schedules = schedules
        self._started = time.time()
        self._delivers: bool | None = None
        self._delivers_since = self._started
        self.task_errors: dict[str, str] = {}
        self.last_minute: Callable[[int | None], int | None] = lambda last: None
        self.stopped_hooks: Callable[[], dict[str, str]] = dict
        self.quarantined: Callable[[], Awaitable[int | None]] = _unknown
        self.mqtt: Callable[[], Awaitable[shapes.MqttHealth]] | None = None
        self.expectations: Callable[[], Awaitable[shapes.ExpectationsHealth]] | None = None

    async def report(self, full: bool = True) -> shapes.Health:
        """The whole report, or only its `status`, which is up when events can be stored."""
        nats = await self._nats()
        status: Literal["up", "down"] = "up" if nats.reachable else "down"
        if not full:
            return shapes.Health(status)
        if not self._gateway.reachable and self._reports.fresh:
            await self._gateway.refresh()  # the plugin speaks, so the Gateway has come back since it was last asked
        return shapes.Health(
            status=status,
            nats=nats,
            identity=self._lease.report(),
            sidecar=self._sidecar(nats.stream),
            gateway=self._gateway_part(),
            plugin=self._plugin(),
            delivery=await self._delivery(),
            schedules=await self._schedules(),
            quarantined=await self._quarantined() if nats.reachable else UNSET,
            mqtt=await self.mqtt() if self.mqtt is not None else UNSET,
            expectations=await self._expectations(),
        )

    async def gateway_is_up(self) -> bool:
        """Whether the Gateway answers at this moment, or its plugin holds its connection."""
        await self._gateway.refresh()
        return self._gateway_part().reachable

    def _sidecar(self, stream: shapes.StreamSize | None) -> shapes.SidecarHealth:
        return shapes.SidecarHealth(
            reachable=True,
            since=format_past(self._started),
            last_error="; ".join(f"{task}: {error}" for task, error in self.task_errors.items()),
            version=__version__,
            events_last_minute=self._last_minute(stream),
            capture=self._settings.capture.default,
            disks=disks.report(self._settings),
        )

    def _gateway_part(self) -> shapes.GatewayHealth:
        """A Gateway that can't be reached from here (from a container, say) runs if its plugin holds its connection."""
        probe, reports = self._gateway, self._reports
        by_plugin = not probe.reachable and self._plugin_connected() and reports.fresh
        return shapes.GatewayHealth(
            reachable=probe.reachable or by_plugin,
            since=format_past(reports.since if by_plugin else probe.since),
            last_error="" if by_plugin else probe.last_error,
            version=reports.last.gateway_version if reports.last else "",
            url=masked(self._settings.gateway_page),
        )

    def _last_minute(self, stream: shapes.StreamSize | None) -> int:
        """What the stream grew by, whoever stored it; at least what passed here, as long as that is not known."""
        found = self.last_minute(stream.last_seq if stream else None)
        return max(found or 0, self._meters.last_minute())

    async def _delivery(self) -> shapes.DeliveryHealth:
        """Deliveries are down as long as the Gateway is, unless no route needs it."""
        try:
            found = await self._inbound()
        except Unavailable as error:
            found = shapes.DeliveryHealth(reachable=False, last_error=str(error), since="")
        gateway = self._gateway_part()
        if found.reachable and found.needs_gateway is not False and not gateway.reachable:
            found.reachable = False
            found.last_error = f"the Gateway can't be reached, so that no agent is woken: {gateway.last_error}"
        if found.reachable != self._delivers:
            if self._delivers is not None:
                self._delivers_since = time.time()
            self._delivers = found.reachable
        found.since = format_past(self._delivers_since)
        return found

    async def _expectations(self) -> shapes.ExpectationsHealth | UnsetType:
        try:
            return await self.expectations() if self.expectations is not None else UNSET
        except Unavailable:  # the inbox's database can't be read, which deliveries say
            return UNSET

    async def _quarantined(self) -> int | UnsetType:
        try:
            async with asyncio.timeout(_STATE_SECONDS):
                found = await self.quarantined()
        except (Unavailable, TimeoutError):
            return UNSET
        return UNSET if found is None else found

    async def _nats(self) -> shapes.NatsHealth:
        connection = self._connection
        stream, error = None, self._streams.problem or connection.problem
        if connection.ready:
            try:
                async with asyncio.timeout(_STATE_SECONDS):
                    state = await self._streams.state()
                stream = shapes.StreamSize(*(state[key] for key in shapes.StreamSize.__struct_fields__))
            except Unavailable as problem:
                error = str(problem)
            except TimeoutError:
                error = f"JetStream did not answer within {_STATE_SECONDS:g} s"
        failed = self._event_log.problem or self._lease.write_error
        if failed and not error:  # otherwise the error is why
            error = f"events can't be stored: {failed}"
        return shapes.NatsHealth(
            reachable=connection.connected and stream is not None and not failed,
            since=format_past(connection.since),
            last_error=error,
            version=connection.server_version,
            url=self._settings.nats.url.rpartition("@")[2],
            stream=stream,
            atomic_batches=self._streams.atomic,
            notes=self._streams.notes,
        )

    def _plugin(self) -> shapes.PluginHealth:
        last, reports = self._reports.last, self._reports
        if last is None:
            return shapes.PluginHealth(
                reachable=False,
                since=format_past(self._started),
                last_error="no report since the sidecar started: is the plugin installed and the Gateway running?",
                version="",
                problems=list(self.stopped_hooks().values()),
                notes=[],
            )
        stopped = self.stopped_hooks()
        return shapes.PluginHealth(
            reachable=reports.fresh,
            since=format_past(reports.since if reports.fresh else reports.received_at),
            last_error=last.last_error if reports.fresh else "it stopped reporting",
            version=last.plugin_version,
            problems=[*last.problems, *stopped.values()],
            notes=last.notes,
            gateway_version=last.gateway_version,
            conversation_access=last.conversation_access,
            events=last.events,
            handler_errors=last.handler_errors,
            guard=shapes.GuardHealth(last.guard.turns_by, last.guard.asks) if last.guard else UNSET,
            stopped_hooks=list(stopped),
            spool=shapes.SpoolHealth(
                events=last.spool.events,
                bytes=last.spool.bytes,
                oldest_seconds=last.spool.oldest_seconds,
                dropped=last.spool.dropped,
                rejected=last.spool.rejected,
            ),
        )
