"""The configuration of the nats-server that we run ourselves: loopback, with credentials, every ack on disk."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

import nkeys

from openclaw_nats.contract.keys import LimitedKey
from openclaw_nats.errors import SettingsError
from openclaw_nats.jetstream.server_proof import server_proof
from openclaw_nats.keys.known import KnownKeys
from openclaw_nats.keys.rights import at_nats, inbox_of
from openclaw_nats.locations import Locations
from openclaw_nats.service.files import write_private
from openclaw_nats.service.quoting import nats_name
from openclaw_nats.service.quoting import nats_string as quoted
from openclaw_nats.settings import Settings

USER = "openclaw-nats"
MAX_PAYLOAD = "2MB"
_STORE_BYTES = 1 << 40


def render(settings: Settings, *, listen: str = "", home: Path | None = None) -> str:
    """The text of `nats-server.conf`; raise SettingsError when there is no password.

    `listen` and `home` are where it listens and has its files, if that is not what the settings say (in a container).
    `max_file_store` is given so that nats-server does not take a share of the disk for granted. Each stream has a limit
    of its own; this one only has to be larger than all that they reserve, also while a smaller limit replaces a larger.
    """
    where = Locations(home or settings.home)
    address = urlsplit(settings.nats.url.split(",")[0])
    password = settings.nats_password()
    if not password:
        raise SettingsError(
            f"the managed nats-server has no password ({settings.home / 'nats-password'} is missing)",
            hint="Run `openclaw-nats setup`, which makes one.",
        )
    sync = "always" if settings.durability == "always" else "2m"
    host = f"[{address.hostname}]" if ":" in (address.hostname or "") else address.hostname
    return (
        "# Written by openclaw-nats at every start; change config.toml instead.\n"
        f"server_name: {quoted(nats_name('openclaw-nats-' + settings.gateway_id))}\n"
        f"listen: {quoted(listen or f'{host}:{address.port or 4222}')}\n"
        f"max_payload: {MAX_PAYLOAD}\n"
        f"log_file: {quoted(str(where.logs / 'nats-server.log'))}\n"
        "logfile_size_limit: 5MB\n"
        "logfile_max_num: 3\n"
        f"authorization: {{ users: [{', '.join(_users(settings, password))}] }}\n"
        "jetstream: {\n"
        f"  store_dir: {quoted(str(where.jetstream))}\n"
        f"  sync_interval: {sync}\n"
        f"  max_file_store: {max(_STORE_BYTES, settings.stream.max_bytes * 4)}\n"
        "  max_memory_store: 64MB\n"
        "}\n"
    )


def make_nkey(where: Locations) -> None:
    """Make the seed of our own user's nkey where there is none: what it signs is of no use to who listens."""
    if not where.nats_nkey.exists():
        write_private(where.nats_nkey, nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER).decode() + "\n")


def _users(settings: Settings, password: str) -> list[str]:
    """The operator's own programs come with the password; we by our nkey. Its permissions are how the server proves
    itself to us (jetstream/connection.py): it gives them to that user alone, and we never publish there. Limited keys
    are users of their own.
    """
    users = [f"{{ user: {quoted(settings.nats.user or USER)}, password: {quoted(password)} }}"]
    seed_file = Locations(settings.home).nats_nkey
    if seed_file.is_file():
        seed = seed_file.read_text()
        public = nkeys.from_seed(bytearray(seed.strip().encode())).public_key.decode()
        denied = quoted(server_proof(seed))
        users.append(f"{{ nkey: {public}, permissions: {{ publish: {{ deny: [{denied}] }} }} }}")
    return [*users, *(_limited(key) for key in KnownKeys(settings.home).valid())]


def _limited(key: LimitedKey) -> str:
    """It hears, and publishes to us, not into a stream. nats-server asks no permission for where an acknowledgement of
    JetStream is sent: whoever may publish on one subject of a stream may overwrite jobs and leases with it.
    """
    said = ", ".join(quoted(at_nats(key.name, one)) for one in key.publish)
    heard = ", ".join(quoted(one) for one in (*key.read, f"{inbox_of(key.name)}.>"))
    publish = f"allow: [{said}]" if said else 'deny: [">"]'
    return f"{{ nkey: {key.public}, permissions: {{ publish: {{ {publish} }}, subscribe: {{ allow: [{heard}] }} }} }}"
