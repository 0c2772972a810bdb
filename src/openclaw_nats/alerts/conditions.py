"""What is wrong, from the health report alone: names, counts and places of ours, no text that others wrote."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from msgspec import UNSET

from openclaw_nats.alerts.deciding import Condition
from openclaw_nats.contract.health import WARNING_PART, Budget, CostBudget, DeliveryHealth, Health, SidecarHealth
from openclaw_nats.terminal_text import plural
from openclaw_nats.url_secrets import host_of

_NEAR = 0.9  # of the stream's limit
_MISSED_SHOWN = timedelta(days=1)
_OF_DELIVERY = frozenset({"approvals", "budget", "dead-letters", "inbox", "missed", "target"})
_LONGEST_NAME = 80


def conditions(report: Health, stream_limit: int, now: float) -> tuple[list[Condition], frozenset[str]]:
    """(what is wrong, the kinds of which nothing is known at the moment). `stream_limit` in bytes; 0 is none."""
    found: list[Condition] = []
    unknown: set[str] = set()
    nats, gateway, plugin = report.nats, report.gateway, report.plugin
    if nats is not UNSET:
        if not nats.reachable:
            found.append(Condition("nats", "nats", "events can't be stored: see the overview", "overview"))
        if nats.stream is None:
            unknown.add("stream")
        elif stream_limit and nats.stream.bytes >= _NEAR * stream_limit:
            part = 100 * nats.stream.bytes // stream_limit
            text = f"the events stream has {part} % of stream.max_bytes: beyond it the oldest events leave"
            found.append(Condition("stream", "stream", text, "overview"))
    if gateway is not UNSET and not gateway.reachable:
        found.append(Condition("gateway", "gateway", "the Gateway can't be reached", "overview"))
    if plugin is not UNSET:
        if plugin.spool is UNSET:
            unknown |= {"plugin", "spool"}
        else:
            if plugin.problems:
                text = (
                    f"the plugin reports problems on OpenClaw {_version(plugin.gateway_version)}: events may be missing"
                )
                found.append(Condition("plugin", "plugin", text, "overview"))
            if lost := plugin.spool.dropped + plugin.spool.rejected:
                text = f"the plugin's spool has lost {plural(lost, 'event')} since the Gateway's start"
                found.append(Condition("spool", "spool", text, "overview"))
    if report.sidecar is not UNSET:
        found += _disks(report.sidecar)
    if report.delivery is UNSET or report.delivery.counts is UNSET:
        unknown |= _OF_DELIVERY
    else:
        found += _deliveries(report.delivery, now)
    return found, frozenset(unknown)


def away(gateways: list[str]) -> list[Condition]:
    """Sidecars of other Gateways on this NATS that have stopped without a word."""
    return [
        Condition(f"sidecar:{_name(one)}", "sidecar", f"the sidecar of the Gateway {_name(one)!r} is away", "overview")
        for one in gateways
    ]


def _disks(sidecar: SidecarHealth) -> Iterator[Condition]:
    for disk in sidecar.disks:
        if disk.low:
            text = f"only {disk.free_bytes >> 20} MiB are free on a disk that events are stored on"
            yield Condition(f"disk:{disk.folder}", "disk", text, "overview")


def _deliveries(report: DeliveryHealth, now: float) -> Iterator[Condition]:
    counts, approvals = report.counts, report.approvals
    if counts is not UNSET and counts.dead:
        yield Condition("dead-letters", "dead-letters", f"dead letters: {counts.dead}", "deliveries")
    for breaker in report.open_breakers or ():
        key = f"target:{hashlib.sha256(breaker.target.encode()).hexdigest()[:12]}"
        yield Condition(key, "target", f"the target {_target(breaker.target)} is down: events wait", "deliveries")
    if approvals:
        yield Condition("approvals", "approvals", f"{plural(approvals, 'approval')} waiting for an answer", "approvals")
    if report.inbox is not UNSET and (report.inbox.last_error or report.inbox.note):
        yield Condition("inbox", "inbox", "the inbox on disk is at its limit, or nearly", "overview")
    missed = report.missed
    if missed and datetime.fromtimestamp(now, UTC) - datetime.fromisoformat(missed.last_at) < _MISSED_SHOWN:
        text = f"{plural(missed.last, 'event')} left the stream before this sidecar read them"
        yield Condition("missed", "missed", text, "overview")
    turns = [one for one in report.budgets or () if one.route_id is UNSET]  # a route's own limit only spaces its turns
    yield from _budgets(turns, lambda one: f"{one.used} of {one.limit} turns")
    yield from _budgets(list(report.cost_budgets or ()), lambda one: f"{one.used:.2f} of {one.limit:.2f}")


def _budgets(
    budgets: list[Budget] | list[CostBudget], shown: Callable[[Budget | CostBudget], str]
) -> Iterator[Condition]:
    """Two keys for each, so that the one at 100 % is told although the one at 80 % was."""
    for one in budgets:
        whose = ":agents" if one.agents is not UNSET else "" if one.route_id is UNSET else f":{one.route_id}"
        for part in (WARNING_PART, 1.0):
            if one.limit > 0 and one.used >= one.limit * part:
                text = f"the budget {_name(one.name)} has reached {part:.0%} ({shown(one)})"
                yield Condition(f"budget:{one.name}{whose}:{part:.0%}", "budget", text, "overview")


def _target(lane: str) -> str:
    """A target without what may be a secret or somebody's number: an address up to its host, a session's agent."""
    kind, _, place = lane.partition(" ")
    if "://" in place:
        return _name(f"{kind} {host_of(place)}")
    return _name(f"{kind} {':'.join(place.split(':')[:2])}")


def _name(text: str) -> str:
    return "".join(one if one.isprintable() else "?" for one in text[:_LONGEST_NAME])


def _version(text: object) -> str:
    return _name(text) if isinstance(text, str) else ""
