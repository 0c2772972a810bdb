"""Scripts and the Gateway go on finding us where the older sidecar was: its port, and its API key.

OpenClaw reads that plugin's variables from its `.env` (NATS_SIDECAR_URL, NATS_PLUGIN_API_KEY), and our plugin obeys
them, as the Gateway's environment is the operator's word: so they have to be true of us.
"""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import urlsplit

from openclaw_nats.installer import config_file
from openclaw_nats.installer.dotenv import comment_out
from openclaw_nats.locations import Locations
from openclaw_nats.migration.older import Older
from openclaw_nats.service.files import write_private
from openclaw_nats.settings import LOOPBACK_HOSTS, Settings

DEFAULT_KEY = "dev-nats-plugin-key"  # published in its source: whoever reads that knows it
_SHORTEST_KEY = 16


def wanted(older: Older, settings: Settings) -> dict[str, Any]:
    """What would change: `port`, `key` (theirs is taken over), `comment_out` (lines of `.env` that can't stay)."""
    url = urlsplit(older.environment.get("NATS_SIDECAR_URL", "http://127.0.0.1:3104"))
    port = url.port or 3104
    key = older.environment.get("NATS_PLUGIN_API_KEY", "")
    found: dict[str, Any] = {}
    if port != settings.sidecar.port and url.hostname in LOOPBACK_HOSTS:
        found["port"] = port
    if key and key != settings.api_key():
        safe = key != DEFAULT_KEY and len(key) >= _SHORTEST_KEY
        found["key" if safe else "comment_out"] = True if safe else ["NATS_PLUGIN_API_KEY"]
    return found


def adopt(older: Older, settings: Settings, changes: dict[str, Any]) -> dict[str, Any]:
    """Make it so; what it was before, for `restore`. Our service has to be restarted afterwards."""
    where = Locations(settings.home)
    before: dict[str, Any] = {}
    if changes.get("key"):
        before["key"] = where.api_key.read_text().strip()
        write_private(where.api_key, older.environment["NATS_PLUGIN_API_KEY"] + "\n")
    if "port" in changes and _is_free(changes["port"]):
        before["port"] = settings.sidecar.port
        _set_port(where, changes["port"])
    if changes.get("comment_out"):
        text = older.environment_file.read_bytes().decode("utf-8", "surrogateescape")
        before["environment"] = text
        names = set(changes["comment_out"])
        write_private(older.environment_file, comment_out(text, names, "by openclaw-nats migrate"))
    return before


def restore(older: Older | None, where: Locations, before: dict[str, Any]) -> None:
    """Put back what `adopt` changed."""
    if "key" in before:
        write_private(where.api_key, before["key"] + "\n")
    if "port" in before:
        _set_port(where, before["port"])
    if "environment" in before and older is not None:
        write_private(older.environment_file, before["environment"])


def _set_port(where: Locations, port: int) -> None:
    config_file.set_values(where.config, {"sidecar.port": str(port), "sidecar.url": f"http://127.0.0.1:{port}"})


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
