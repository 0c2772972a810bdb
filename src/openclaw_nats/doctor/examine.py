"""All checks in the order in which one thing rests on the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from openclaw_nats import __version__
from openclaw_nats.doctor import fleet_side, journeys, machine, mqtt_side, nats_side, openclaw_side
from openclaw_nats.doctor.bounded import Check, Waiting
from openclaw_nats.doctor.finding import PROBLEM, Finding, note, problem
from openclaw_nats.doctor.journeys import Call, Read
from openclaw_nats.errors import OpenClawNatsError
from openclaw_nats.installer import commands
from openclaw_nats.settings import Settings
from openclaw_nats.url_secrets import masked

_PLUGIN_SECONDS = 12.0  # it reports every 10 s
_JOURNEY_SECONDS = 12.0
_SIDECAR = "the sidecar's report"


def examine(settings: Settings, call: Call, read: Read, waiting: Waiting = lambda what: None) -> Iterator[Finding]:
    """Yield every finding as soon as it is known. `call` and `read` ask the sidecar; they raise OpenClawNatsError.

    What does not rest on something else is looked at at the same time; `waiting` hears what takes long. Commands that
    still run at the end are ended.
    """
    try:
        yield from _examine(settings, call, read, waiting)
    finally:
        commands.end_all()


def _examine(settings: Settings, call: Call, read: Read, waiting: Waiting) -> Iterator[Finding]:
    report: dict[str, Any] = {}
    looks = [
        Check("versions", "this machine (versions, files, disk)", lambda: _machine(settings)),
        Check("service", "the service manager", lambda: machine.service(settings)),
        Check("ports", "what listens on our ports", lambda: machine.ports(settings)),
        Check("mqtt", "MQTT", lambda: mqtt_side.listens(settings)),
        Check("nats", f"NATS at {masked(settings.nats.url)}", lambda: nats_side.nats(settings)),
        Check(
            "openclaw",
            "OpenClaw (its command and the Gateway)",
            lambda: openclaw_side.openclaw(settings),
            fix="Does `openclaw --version` end when you run it? Look at its disk, and at what else this machine does.",
        ),
    ]
    sidecar = Check("sidecar", f"the sidecar at {settings.sidecar.url}", lambda: _sidecar(call, report), 13.0)
    if not settings.home.is_dir():  # nothing of ours can be there yet
        looks = [one for one in looks if one.name in ("versions", "openclaw")]
        for one in looks:
            yield from one.findings(waiting)
        yield note("sidecar", "not looked at, before `openclaw-nats setup`: service, ports, NATS, the sidecar")
        return
    for one in (*looks, sidecar):
        one.start()
    runs = True
    for one in looks:
        for finding in one.findings(waiting):
            runs = runs and not (one.name == "service" and finding.state == PROBLEM)
            yield finding
    for finding in sidecar.findings(waiting):
        if runs or report or "does not answer" not in finding.text:  # else it is known: the service does not run
            yield finding
    if not report:
        yield note("sidecar", f"not looked at: {_SIDECAR}, the plugin's reports, test events, deliveries")
        return
    yield from mqtt_side.reported(report)
    yield from openclaw_side.reports(report, openclaw_side.find())
    journey = []
    if not report["gateway"]["reachable"]:
        yield note("event out", "not tried: the Gateway does not answer")
    elif report["plugin"]["reachable"]:
        journey.append(Check("event out", "the way out", lambda: journeys.out(call, read), _JOURNEY_SECONDS))
    if report["status"] == "up":
        journey.append(Check("event in", "the way in", lambda: journeys.into(call), _JOURNEY_SECONDS))
    for one in journey:
        one.start()
    for one in journey:
        yield from one.findings(waiting)
    if report["status"] == "up":
        # Asked again: a plugin that has just connected changes the way.
        yield from Check("delivery", _SIDECAR, lambda: _deliveries(call)).findings(waiting)


def _machine(settings: Settings) -> Iterator[Finding]:
    yield from machine.versions(settings)
    yield from machine.clock()
    yield from machine.files(settings)
    yield from machine.keys(settings)
    yield from machine.sources(settings)
    yield from machine.disk(settings)
    yield from machine.rejected(settings)


def _sidecar(call: Call, report: dict[str, Any]) -> Iterator[Finding]:
    """The sidecar's own state; `report` is filled with what it says."""
    try:
        health = _health(call)
    except OpenClawNatsError as error:
        fix = error.hint or "Run `openclaw-nats restart`, then see `openclaw-nats logs`."
        yield problem("sidecar", str(error), fix)
        return
    if wrong := health["sidecar"]["lastError"]:
        yield problem("sidecar", wrong, "Run `openclaw-nats restart`; `openclaw-nats logs` says more.")
    if (running_one := health["sidecar"]["version"]) != __version__:
        text = f"the sidecar that runs is {running_one}, and this command is {__version__}"
        yield problem("sidecar", text, "Run `openclaw-nats setup`: it restarts the sidecar, and the plugin follows.")
    yield from fleet_side.fleet(health)
    report.update(health)


def _deliveries(call: Call) -> Iterator[Finding]:
    yield from journeys.way_to_agents(call("GET", "/api/health", None).get("delivery", {}))
    yield from journeys.unguarded(call("GET", "/api/routes", None)["routes"])


def _health(call: Call) -> dict[str, Any]:
    """The sidecar's report; one that has only just begun is given the time in which the plugin finds it again."""
    while True:
        health: dict[str, Any] = call("GET", "/api/health", None)
        began = datetime.fromisoformat(health["sidecar"]["since"])
        young = (datetime.now(UTC) - began).total_seconds() < _PLUGIN_SECONDS
        if health["plugin"]["reachable"] or not young or not health["gateway"]["reachable"]:
            return health
        time.sleep(0.5)
