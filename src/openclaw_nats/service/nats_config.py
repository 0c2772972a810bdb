"""The configuration of the nats-server that we run ourselves: loopback, with credentials, every ack on disk."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from openclaw_nats.errors import SettingsError
from openclaw_nats.service.locations import Locations
from openclaw_nats.service.quoting import nats_name
from openclaw_nats.service.quoting import nats_string as quoted
from openclaw_nats.settings import Settings

USER = "openclaw-nats"
MAX_PAYLOAD = "2MB"
_SPARE_BYTES = 2 << 30


def render(settings: Settings, *, listen: str = "", home: Path | None = None) -> str:
    """The text of `nats-server.conf`; raise SettingsError when there is no password.

    `listen` and `home` are where it listens and has its files, if that is not what the settings say (in a container).
    `max_file_store` is given so that nats-server does not take a share of the disk for granted.
    """
    where = Locations(home or settings.home)
    address = urlsplit(settings["nats.url"].split(",")[0])
    password = settings.nats_password()
    if not password:
        raise SettingsError(
            f"the managed nats-server has no password ({settings.home / 'nats-password'} is missing)",
            hint="Run `openclaw-nats setup`, which makes one.",
        )
    sync = "always" if settings["durability"] == "always" else "2m"
    host = f"[{address.hostname}]" if ":" in (address.hostname or "") else address.hostname
    return (
        "# Written by openclaw-nats at every start; change config.toml instead.\n"
        f"server_name: {quoted(nats_name('openclaw-nats-' + settings.gateway_id))}\n"
        f"listen: {quoted(listen or f'{host}:{address.port or 4222}')}\n"
        f"max_payload: {MAX_PAYLOAD}\n"
        f"log_file: {quoted(str(where.logs / 'nats-server.log'))}\n"
        "logfile_size_limit: 5MB\n"
        "logfile_max_num: 3\n"
        f"authorization: {{ user: {quoted(settings['nats.user'] or USER)}, password: {quoted(password)} }}\n"
        "jetstream: {\n"
        f"  store_dir: {quoted(str(where.jetstream))}\n"
        f"  sync_interval: {sync}\n"
        f"  max_file_store: {settings['stream.max_bytes'] * 2 + _SPARE_BYTES}\n"
        "  max_memory_store: 64MB\n"
        "}\n"
    )
