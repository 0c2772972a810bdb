"""The dashboard's part of the sidecar, put together."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from openclaw_nats.api.dashboard_endpoints import DashboardEndpoints
from openclaw_nats.api.dashboard_files import DashboardFiles
from openclaw_nats.api.insight_endpoints import InsightEndpoints
from openclaw_nats.api.live_endpoints import LiveEndpoints
from openclaw_nats.api.sign_in import SignIn
from openclaw_nats.audit.trail import Trail
from openclaw_nats.contract.health import Health
from openclaw_nats.contract.views import LiveState
from openclaw_nats.errors import Unavailable
from openclaw_nats.insight.activity import Activity
from openclaw_nats.insight.live import Live
from openclaw_nats.insight.stream_views import StreamViews
from openclaw_nats.jetstream.connection import Connection
from openclaw_nats.jetstream.event_log import JetStreamEventLog
from openclaw_nats.jetstream.streams import Streams
from openclaw_nats.outbound.plugin_reports import PluginReports
from openclaw_nats.plugin_files import dashboard_dir
from openclaw_nats.schedules.fires import fires
from openclaw_nats.service.inbound_parts import Inbound
from openclaw_nats.service.schedule_parts import Schedules
from openclaw_nats.settings import Settings

DASHBOARD = "/dashboard/"


@dataclass
class Dashboard:
    """What the app serves for the dashboard; `runs` are the tasks that it needs."""

    sign_in: SignIn
    cookie: str
    endpoints: DashboardEndpoints
    insight: InsightEndpoints
    live: LiveEndpoints
    files: DashboardFiles
    activity: Activity
    hub: Live
    views: StreamViews

    def runs(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Every task, by name."""
        return {"activity": self.activity.run, "live": self.hub.run}


def build_dashboard(
    *,
    settings: Settings,
    connection: Connection,
    streams: Streams,
    event_log: JetStreamEventLog,
    reports: PluginReports,
    inbound: Inbound,
    schedules: Schedules,
    health: Callable[[], Awaitable[Health]],
    gateway_is_up: Callable[[], Awaitable[bool]],
    trail: Trail,
) -> Dashboard:
    """Wire the dashboard; its sessions are read from the database."""

    async def last_sequence() -> int | None:
        try:
            return await streams.last_sequence()
        except Unavailable:
            return None

    async def pages() -> list[str]:
        found = [settings.sidecar.url + DASHBOARD]
        reported = reports.last.dashboard if reports.fresh and reports.last is not None else ""
        if reported and await gateway_is_up():  # a report stays fresh for a while after the Gateway has ended
            found.insert(0, settings.gateway_page + reported)
        return found

    def versions() -> dict[str, str]:
        report = reports.last
        return {
            "nats-server": connection.server_version,
            "plugin": report.plugin_version if report is not None else "",
            "OpenClaw": report.gateway_version if report is not None else "",
        }

    async def state() -> LiveState:
        return LiveState(await health(), activity.events_per_second())

    activity = Activity(inbound.database, last_sequence)
    sign_in = SignIn(inbound.database, settings.dashboard.session_expires, trail=trail)
    # Its own name for each installation: two on one machine share the host name that cookies go by.
    cookie = "openclaw_nats_" + hashlib.sha256(str(settings.home).encode()).hexdigest()[:8]
    hub = Live(event_log, state)
    views = StreamViews(event_log, event_log)
    insight = InsightEndpoints(
        settings=settings,
        activity=activity,
        views=views,
        spending=inbound.spending,
        inbox=inbound.inbox,
        fires=lambda limit: fires(schedules.log, limit, settings.gateway_id),
        versions=versions,
    )
    return Dashboard(
        sign_in=sign_in,
        cookie=cookie,
        endpoints=DashboardEndpoints(sign_in, cookie, pages),
        insight=insight,
        live=LiveEndpoints(hub, state, sign_in.lasts),
        files=DashboardFiles(dashboard_dir()),
        activity=activity,
        hub=hub,
        views=views,
    )
