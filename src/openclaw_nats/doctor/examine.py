"""All checks in the order in which one thing rests on the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from openclaw_nats.doctor import journeys, machine, nats_side, openclaw_side
from openclaw_nats.doctor.finding import PROBLEM, Finding, problem
from openclaw_nats.doctor.journeys import Call, Read
from openclaw_nats.errors import OpenClawNatsError
from openclaw_nats.settings import Settings


def examine(settings: Settings, call: Call, read: Read) -> Iterator[Finding]:
    """Yield every finding as soon as it is known. `call` and `read` ask the sidecar; they raise OpenClawNatsError."""
    yield from machine.versions(settings)
    yield from machine.clock()
    yield from machine.files(settings)
    yield from machine.disk(settings)
    running = list(machine.service(settings))
    yield from running
    yield from machine.ports(settings)
    yield from nats_side.nats(settings)
    yield from openclaw_side.openclaw(settings)
    if any(finding.state == PROBLEM for finding in running):
        return
    health: dict[str, Any] = {}
    try:
        health = call("GET", "/api/health", None)
    except OpenClawNatsError as error:
        yield problem(
            "sidecar", str(error), error.hint or "Run `openclaw-nats restart`, then see `openclaw-nats logs`."
        )
        return
    if wrong := health.get("sidecar", {}).get("lastError"):
        yield problem("sidecar", wrong, "Run `openclaw-nats restart`; `openclaw-nats logs` says more.")
    yield from openclaw_side.reports(health, openclaw_side.find())
    if health["plugin"]["reachable"]:
        yield from journeys.out(call, read)
    if health["status"] == "up":
        yield from journeys.into(call)
        # Asked again: a plugin that has just connected changes the way.
        yield from journeys.way_to_agents(call("GET", "/api/health", None).get("delivery", {}))
