"""Alerts, put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from openclaw_nats.alerts.book import ChannelBook
from openclaw_nats.alerts.fleet import Fleet
from openclaw_nats.alerts.sending import Alerts
from openclaw_nats.audit.trail import Trail
from openclaw_nats.contract.health import Health
from openclaw_nats.fleet.lease import steady
from openclaw_nats.locations import Locations
from openclaw_nats.service.dashboard_parts import DASHBOARD
from openclaw_nats.service.files import write_private
from openclaw_nats.settings import Settings
from openclaw_nats.storage.database import Database


def build_alerts(
    settings: Settings,
    database: Database,
    trail: Trail,
    health: Callable[[], Awaitable[Health]],
    leases: Callable[[], Awaitable[list[bytes]]],
    key: str,
) -> Alerts:
    """Wire the alerts."""
    return Alerts(
        ChannelBook(Locations(settings.home).alerts, write_private, trail),
        trail,
        database,
        health,
        Fleet(settings.gateway_id, key, leases, steady),
        settings.gateway_id,
        settings.sidecar.url + DASHBOARD,
        settings.stream.max_bytes,
    )
