"""The configuration of the nats-server that we run ourselves: loopback, with credentials, every ack on disk."""

from __future__ import annotations

import os
from pathlib import Path

import nkeys

from openclaw_nats.addresses import host_port
from openclaw_nats.contract.keys import LimitedKey
from openclaw_nats.errors import SettingsError
from openclaw_nats.jetstream.server_proof import server_proof
from openclaw_nats.keys.known import KnownKeys
from openclaw_nats.keys.rights import at_nats, inbox_of
from openclaw_nats.locations import Locations
from openclaw_nats.mqtt.users import MqttUser, sidecar_user, user_of
from openclaw_nats.service.exposure import check_mqtt
from openclaw_nats.service.files import write_private
from openclaw_nats.service.identity_key import identity_key
from openclaw_nats.service.quoting import nats_name
from openclaw_nats.service.quoting import nats_string as quoted
from openclaw_nats.settings import Settings

USER = "openclaw-nats"
MAX_PAYLOAD = "2MB"
_STORE_BYTES = 1 << 40
_KEPT_FOR = '"168h"'  # what waits for an MQTT client that is away


def render(
    settings: Settings,
    *,
    listen: str = "",
    mqtt_listen: str = "",
    home: Path | None = None,
    tls: tuple[str, str] | None = None,
) -> str:
    """The text of `nats-server.conf`; raise SettingsError when there is no password.

    `listen`, `mqtt_listen` and `home` are where it listens and has its files, `tls` where certificate and key are, if
    that is not what the settings say (in a container).
    `max_file_store` is given so that nats-server does not take a share of the disk for granted. Each stream has a limit
    of its own; this one only has to be larger than all that they reserve, also while a smaller limit replaces a larger.
    """
    check_mqtt(settings)
    where = Locations(home or settings.home)
    password = settings.nats_password()
    if not password:
        raise SettingsError(
            f"the managed nats-server has no password ({settings.home / 'nats-password'} is missing)",
            hint="Run `openclaw-nats setup`, which makes one.",
        )
    sync = "always" if settings.durability == "always" else "2m"
    return (
        "# Written by openclaw-nats at every start; change config.toml instead.\n"
        f"server_name: {quoted(nats_name('openclaw-nats-' + settings.gateway_id))}\n"
        f"listen: {quoted(listen or host_port(*settings.nats_address))}\n"
        f"max_payload: {MAX_PAYLOAD}\n"
        f"log_file: {quoted(str(where.logs / 'nats-server.log'))}\n"
        "logfile_size_limit: 5MB\n"
        "logfile_max_num: 3\n"
        f"authorization: {{ users: [{', '.join(_users(settings, password))}] }}\n"
        f"{_mqtt(settings, mqtt_listen, tls)}"
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


def _mqtt(settings: Settings, listen: str, tls: tuple[str, str] | None) -> str:
    """The block that has it speak MQTT, by TLS where the sidecar does; nothing while that is off."""
    if not settings.mqtt.port:
        return ""
    lines = [
        f"listen: {quoted(listen or host_port(settings.mqtt.host, settings.mqtt.port))}",
        f"consumer_inactive_threshold: {_KEPT_FOR}",
    ]
    if settings.sidecar_speaks_tls:
        certificate, key = tls or (settings.sidecar.tls_certificate, settings.sidecar.tls_key)
        lines.append(f"tls: {{ cert_file: {quoted(certificate)}, key_file: {quoted(key)} }}")
    return f"mqtt: {{ {', '.join(lines)} }}\n"


def _users(settings: Settings, password: str) -> list[str]:
    """The operator's own programs come with the password; we by our nkey. Its permissions are how the server proves
    itself to us (jetstream/connection.py): it gives them to that user alone, and we never publish there. Limited keys
    are users of their own.
    """
    name = settings.nats.user or USER
    by_mqtt = _by_mqtt(settings)
    if any(one.name == name for one in by_mqtt):
        raise SettingsError(f"nats.user is {name}, which is the name of a user for MQTT", hint="Choose another one.")
    only_nats = ", allowed_connection_types: [STANDARD]" if settings.mqtt.port else ""
    users = [f"{{ user: {quoted(name)}, password: {quoted(password)}{only_nats} }}"]
    seed_file = Locations(settings.home).nats_nkey
    if seed_file.is_file():
        seed = seed_file.read_text()
        public = nkeys.from_seed(bytearray(seed.strip().encode())).public_key.decode()
        denied = quoted(server_proof(seed))
        users.append(f"{{ nkey: {public}, permissions: {{ publish: {{ deny: [{denied}] }} }} }}")
    limited = [_limited(key) for key in KnownKeys(settings.home).valid()]
    return [*users, *limited, *(_mqtt_user(one) for one in by_mqtt)]


def _by_mqtt(settings: Settings) -> list[MqttUser]:
    if not settings.mqtt.port:
        return []
    secret = identity_key(settings.home)
    keys = [user_of(key, secret) for key in KnownKeys(settings.home).valid() if key.mqtt]
    return [*keys, sidecar_user(secret)]


def _mqtt_user(user: MqttUser) -> str:
    """It comes by MQTT only: there it can set neither headers nor where an answer is sent."""
    rights = f"publish: {_rights(user.publish, user.never)}, subscribe: {_rights(user.hear, ())}"
    return (
        f"{{ user: {quoted(user.name)}, password: {quoted(user.password)}, permissions: {{ {rights} }}, "
        "allowed_connection_types: [MQTT] }"
    )


def _rights(allowed: tuple[str, ...], denied: tuple[str, ...]) -> str:
    """Subjects that are allowed but for some; an empty list would allow everything."""
    if not allowed:
        return '{ deny: [">"] }'
    never = f", deny: {_list(denied)}" if denied else ""
    return f"{{ allow: {_list(allowed)}{never} }}"


def _list(subjects: tuple[str, ...]) -> str:
    return f"[{', '.join(quoted(one) for one in subjects)}]"


def _limited(key: LimitedKey) -> str:
    """It hears, and publishes to us, not into a stream. nats-server asks no permission for where an acknowledgement of
    JetStream is sent: whoever may publish on one subject of a stream may overwrite jobs and leases with it.
    """
    said = _rights(tuple(at_nats(key.name, one) for one in key.publish), ())
    heard = _rights((*key.read, f"{inbox_of(key.name)}.>"), ())
    return f"{{ nkey: {key.public}, permissions: {{ publish: {said}, subscribe: {heard} }} }}"
