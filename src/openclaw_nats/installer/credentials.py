"""The secrets that an installation makes for itself, each in a file that only its owner can read."""

from __future__ import annotations

import secrets

from openclaw_nats.locations import Locations
from openclaw_nats.service.files import write_private


def make_api_key(where: Locations) -> None:
    """Write a new API key for the sidecar: 256 random bits."""
    write_private(where.api_key, secrets.token_urlsafe(32) + "\n")


def make_nats_password(where: Locations) -> None:
    """Write a new password for the managed nats-server: 192 random bits."""
    write_private(where.nats_password, secrets.token_urlsafe(24) + "\n")
