"""The fleet's part of the sidecar, put together: what it says of itself to the others, and how it sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from openclaw_nats import __version__
from openclaw_nats.contract.fleet import MemberStatus
from openclaw_nats.contract.health import Health
from openclaw_nats.events.seals import Seals
from openclaw_nats.fleet.members import Members
from openclaw_nats.fleet.place import Place
from openclaw_nats.fleet.status import status_of
from openclaw_nats.jetstream.connection import Connection
from openclaw_nats.jetstream.fleet_service import FleetService
from openclaw_nats.jetstream.options import Options
from openclaw_nats.outbound.plugin_reports import PluginReports
from openclaw_nats.settings import Settings

_FRESH_SECONDS = 1.0  # anybody on this NATS may ask: so often is looked


@dataclass
class Fleet:
    """What runs, and what the API asks."""

    service: FleetService
    members: Members


class _Status:
    """The status of this sidecar, worked out at most once a second."""

    def __init__(self, report: Callable[[], Awaitable[Health]], place: Place) -> None:
        self._report = report
        self._place = place
        self._lock = asyncio.Lock()
        self._last: tuple[float, MemberStatus] | None = None

    async def now(self) -> MemberStatus:
        """As it is, or was a moment ago."""
        async with self._lock:
            moment = asyncio.get_running_loop().time()
            if self._last is None or moment - self._last[0] > _FRESH_SECONDS:
                self._last = (moment, status_of(await self._report(), self._place, __version__))
            return self._last[1]


def build_fleet(
    settings: Settings,
    connection: Connection,
    seals: Seals,
    leases: Callable[[], Awaitable[list[bytes]]],
    place: Place,
    report: Callable[[], Awaitable[Health]],
    reports: PluginReports,
) -> Fleet:
    """Wire it."""

    def metadata() -> dict[str, str]:
        return {
            "gateway": settings.gateway_id,
            "installation": place.installation,
            "host": place.host,
            "version": __version__,
            "openclaw": reports.last.gateway_version if reports.last else "",
            "nats-server": connection.server_version,
            "capabilities": ",".join(_capabilities(settings)),
        }

    async def answer(question: bytes) -> tuple[bytes, str]:
        return await members.answer(question)

    service = FleetService(Options.from_settings(settings), metadata, __version__, answer)
    members = Members(service, seals, leases, _Status(report, place).now)
    return Fleet(service, members)


def _capabilities(settings: Settings) -> list[str]:
    """What this sidecar can be used for."""
    return ["events", "routes", "schedules", "sources", "approvals", *(["mqtt"] if settings.mqtt.port else [])]
