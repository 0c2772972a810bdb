"""What a sidecar says about itself to the others of its fleet: its health report in a few lines."""

from __future__ import annotations

from typing import TypeVar

from msgspec import UnsetType

from openclaw_nats.contract.fleet import MemberStatus, Part
from openclaw_nats.contract.health import Health
from openclaw_nats.fleet.place import Place
from openclaw_nats.terminal_text import plural

T = TypeVar("T")

_LONGEST = 500
_MOST = 20
_WORD = 256


def status_of(health: Health, place: Place, version: str) -> MemberStatus:
    """One sidecar's status, from its whole health report."""
    nats, identity, sidecar = _there(health.nats), _there(health.identity), _there(health.sidecar)
    gateway, plugin, delivery = _there(health.gateway), _there(health.plugin), _there(health.delivery)
    counts, waiting, spool = delivery.counts, delivery.waiting, plugin.spool
    dead = None if isinstance(counts, UnsetType) else counts.dead
    problems = [
        "" if nats.reachable else f"NATS: {nats.last_error}",
        identity.last_error,
        "" if gateway.reachable else f"Gateway: {gateway.last_error}",
        "" if plugin.reachable else f"plugin: {plugin.last_error}",
        *(f"plugin: {one}" for one in plugin.problems),
        "" if delivery.reachable else f"deliveries: {delivery.last_error}",
        *(f"{one.target}: {one.last_error}" for one in _list(delivery.open_breakers)),
        *(f"route {one.route}: {one.problem}" for one in _list(delivery.unanswerable)),
        plural(dead, "dead letter") if dead else "",
        *(
            f"disk {one.folder}: {one.last_error or 'nearly full'}"
            for one in sidecar.disks
            if one.low or one.last_error
        ),
    ]
    return MemberStatus(
        gateway_id=identity.gateway_id[:_WORD],
        installation=place.installation,
        host=place.host[:_WORD],
        version=version,
        openclaw_version=gateway.version[:_WORD],
        nats_version=nats.version[:_WORD],
        since=sidecar.since,
        nats=_part(nats.reachable),
        gateway=_part(gateway.reachable),
        plugin=_part(plugin.reachable),
        delivers=identity.state in ("held", "unguarded"),
        events_last_minute=sidecar.events_last_minute,
        waiting=None if isinstance(waiting, UnsetType) else waiting,
        dead=dead,
        spooled=None if isinstance(spool, UnsetType) else spool.events,
        problems=[one[:_LONGEST] for one in problems if one][:_MOST],
    )


def _part(reachable: bool) -> Part:
    return "up" if reachable else "down"


def _there(part: T | UnsetType) -> T:
    """A part of a report that was asked for with all of its parts."""
    if isinstance(part, UnsetType):
        raise TypeError("the status is made of the whole health report")
    return part


def _list(found: list[T] | UnsetType) -> list[T]:
    return [] if isinstance(found, UnsetType) else found
