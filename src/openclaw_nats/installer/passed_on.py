"""What a service manager has to tell `up` of the environment in which setup ran: which OpenClaw it works for."""

from __future__ import annotations

import os

from openclaw_nats.locations import Locations
from openclaw_nats.openclaw_paths import expand_home


def environment_of(where: Locations) -> dict[str, str]:
    """The variables that lead to this installation, as absolute paths: a service has another folder and home."""
    found = {"OPENCLAW_STATE_DIR": str(where.home.parent)}
    if given := os.environ.get("OPENCLAW_CONFIG_PATH", "").strip():
        found["OPENCLAW_CONFIG_PATH"] = str(expand_home(given))
    return found
