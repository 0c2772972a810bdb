"""What `up` needs before its first start: a key, a password, ports. It never touches OpenClaw."""

from __future__ import annotations

from openclaw_nats.installer import credentials
from openclaw_nats.service.locations import Locations
from openclaw_nats.service.nats_config import USER
from openclaw_nats.settings import load


def prepare(
    *, sidecar_port: int | None, nats_port: int | None, nats_url: str | None, gateway_url: str | None
) -> dict[str, str]:
    """Make the key and the password where they are missing; return the settings to write."""
    settings = load()
    where = Locations(settings.home)
    if not where.api_key.exists():
        credentials.make_api_key(where)
    changes: dict[str, str] = {}
    if nats_url is not None:
        changes |= {"nats.managed": "false", "nats.url": nats_url}
    elif nats_port is not None:
        changes |= {"nats.managed": "true", "nats.url": f"nats://127.0.0.1:{nats_port}"}
    managed = nats_url is None and (nats_port is not None or settings["nats.managed"])
    if managed and not settings["nats.password_file"]:
        if not where.nats_password.exists():
            credentials.make_nats_password(where)
        changes |= {"nats.user": USER, "nats.password_file": str(where.nats_password)}
    if sidecar_port is not None:
        changes |= {"sidecar.port": str(sidecar_port), "sidecar.url": f"http://127.0.0.1:{sidecar_port}"}
    if gateway_url is not None:
        changes["gateway.url"] = gateway_url
    return changes
