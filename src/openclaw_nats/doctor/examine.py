"""All checks in the order in which one thing rests on the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from openclaw_nats import __version__
from openclaw_nats.doctor import journeys, machine, nats_side, openclaw_side
from openclaw_nats.doctor.finding import PROBLEM, Finding, problem
from openclaw_nats.doctor.journeys import Call, Read
from openclaw_nats.errors import OpenClawNatsError
from openclaw_nats.settings import Settings

_PLUGIN_SECONDS = 12.0  # it reports every 10 s


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
        health = _health(call)
    except OpenClawNatsError as error:
        yield problem(
            "sidecar", str(error), error.hint or "Run `openclaw-nats restart`, then see `openclaw-nats logs`."
        )
        return
    if wrong := health.get("sidecar", {}).get("lastError"):
        yield problem("sidecar", wrong, "Run `openclaw-nats restart`; `openclaw-nats logs` says more.")
    if (running_one := health["sidecar"]["version"]) != __version__:
        text = f"the sidecar that runs is {running_one}, and this command is {__version__}"
        yield problem("sidecar", text, "Run `openclaw-nats setup`: it restarts the sidecar, and the plugin follows.")
    yield from openclaw_side.reports(health, openclaw_side.find())
    if health["plugin"]["reachable"]:
        yield from journeys.out(call, read)
    if health["status"] == "up":
        yield from journeys.into(call)
        # Asked again: a plugin that has just connected changes the way.
        yield from journeys.way_to_agents(call("GET", "/api/health", None).get("delivery", {}))


def _health(call: Call) -> dict[str, Any]:
    """The sidecar's report; one that has only just begun is given the time in which the plugin finds it again."""
    while True:
        health: dict[str, Any] = call("GET", "/api/health", None)
        began = datetime.fromisoformat(health["sidecar"]["since"])
        young = (datetime.now(UTC) - began).total_seconds() < _PLUGIN_SECONDS
        if health["plugin"]["reachable"] or not young:
            return health
        time.sleep(0.5)
