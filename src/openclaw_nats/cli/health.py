"""Waiting for the sidecar to be up."""

from __future__ import annotations

import time
from typing import Any

from openclaw_nats.cli.sidecar_client import SidecarClient, SidecarDown
from openclaw_nats.errors import OpenClawNatsError, SetupError
from openclaw_nats.locations import Locations
from openclaw_nats.settings import Settings


def wait_until_up(settings: Settings, seconds: float) -> dict[str, Any]:
    """The health report as soon as events can be stored; raise SetupError with what was wrong to the end."""
    client = SidecarClient(settings)
    deadline = time.monotonic() + seconds
    why = ""
    while time.monotonic() < deadline:
        try:
            report: dict[str, Any] = client.call("GET", "/api/health", timeout=5)
            if report["status"] == "up":
                return report
            why = f"NATS: {report['nats']['lastError']}"
        except SidecarDown as error:
            why = str(error)
        time.sleep(0.1)
    logs = Locations(settings.home).logs
    raise SetupError(f"openclaw-nats did not come up within {seconds:g} s: {why}", hint=f"The logs are in {logs}.")


def running_version(settings: Settings) -> str:
    """The version of the sidecar that runs; empty when it does not say."""
    try:
        report = SidecarClient(settings).call("GET", "/api/health", timeout=5)
    except OpenClawNatsError:
        return ""
    return str(report.get("sidecar", {}).get("version", ""))
