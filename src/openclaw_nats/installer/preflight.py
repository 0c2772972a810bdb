"""What would make setup fail, looked for before anything is written: versions, ports, a NATS that can't be used."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from openclaw_nats import port_holder
from openclaw_nats.errors import SetupError
from openclaw_nats.installer import node_version
from openclaw_nats.installer.openclaw import OpenClaw
from openclaw_nats.installer.setup import Setup
from openclaw_nats.locations import Locations
from openclaw_nats.service.supervisor_lock import running_pid
from openclaw_nats.settings import LOOPBACK_HOSTS

OLDEST_OPENCLAW = (2026, 3)


@dataclass(frozen=True)
class Problem:
    """One reason why setup can't go on: where in the plan, what, and what helps."""

    step: str
    text: str
    hint: str


def check_node(openclaw: OpenClaw) -> None:
    """Raise SetupError when the Node on PATH can't run OpenClaw: then nothing else can be asked of it."""
    if found := node_version.problem(openclaw.command):
        raise SetupError(found, hint="Install that Node, or put it first on PATH, then run setup again.")


def problems(setup: Setup, service_kind: str) -> list[Problem]:
    """All that is in the way; asks other programs, and changes nothing."""
    found = []
    if setup.openclaw.number < OLDEST_OPENCLAW:
        oldest = "{}.{}".format(*OLDEST_OPENCLAW)
        text = f"OpenClaw {setup.openclaw.version} is too old: {oldest} is the oldest one with the hooks that we need"
        found.append(Problem("OpenClaw", text, "`npm install -g openclaw@latest` updates it."))
    found += _ports(setup, service_kind)
    if not setup.managed:
        try:
            from openclaw_nats.installer import nats_check  # half of a command's start, and only needed here

            nats_check.check(setup.wanted_settings())
        except SetupError as error:
            found.append(Problem("NATS", str(error), error.hint))
    return found


def refuse(found: list[Problem]) -> None:
    """Raise SetupError with everything that is in the way, if there is anything."""
    if found:
        hints = list(dict.fromkeys(one.hint for one in found))
        raise SetupError("; ".join(one.text for one in found), hint=f"{' '.join(hints)} Nothing was changed.")


def _ports(setup: Setup, service_kind: str) -> list[Problem]:
    settings = setup.wanted_settings()
    wanted = {"sidecar": ("Settings", settings.sidecar.port, "--sidecar-port")}
    if setup.managed:
        wanted["nats-server"] = ("NATS", settings.nats_address[1], "--nats-port")
        if settings.mqtt.port:
            wanted["MQTT"] = ("Settings", settings.mqtt.port, "--mqtt-port")
    gateway = urlsplit(setup.gateway_url())
    seen = {gateway.port: "the Gateway"} if gateway.hostname in LOOPBACK_HOSTS else {}
    found = []
    for who, (step, port, option) in wanted.items():
        if port in seen:
            text = f"port {port} is meant for {who} and for {seen[port]}"
            found.append(Problem(step, text, f"{option} names another one."))
        elif text := _occupied(setup.where, port, service_kind):
            found.append(Problem(step, f"port {port} for {who} {text}", f"Stop it, or choose another port: {option}."))
        seen[port] = who
    return found


def _occupied(where: Locations, port: int, service_kind: str) -> str:
    """Why we can't listen there; empty when we can, or when it is our own running service that does."""
    try:
        if port_holder.is_free(port):
            return ""
    except PermissionError:
        return "may only be used by root"
    if service_kind == "docker" and where.setup_record.exists():
        return ""  # containers: whose they are can't be seen from outside
    holder = port_holder.holder(port)
    if holder.pid and holder.pid in _ours(where):
        return ""
    return f"is held by {holder}"


def _ours(where: Locations) -> set[int]:
    """The processes of this installation's running `up`."""
    supervisor = running_pid(where)
    if supervisor is None:
        return set()
    try:
        children = json.loads(where.state.read_text())["children"].values()
        return {supervisor, *(int(one["pid"]) for one in children)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {supervisor}
