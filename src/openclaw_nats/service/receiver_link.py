"""The house's side of `openclaw-nats receive` on another machine: where the sidecar hears it, and the link to it.

The link is a leaf node that our nats-server dials. It is in an account of its own, without JetStream, in which there is
nobody but the sidecar's second connection: whoever holds the other machine is heard on `key.<name>.>`, and that is all.
"""

from __future__ import annotations

import os
from urllib.parse import quote, urlsplit

import nkeys

from openclaw_nats.errors import SettingsError
from openclaw_nats.jetstream.connection import Options
from openclaw_nats.jetstream.server_proof import server_proof
from openclaw_nats.keys.making import check_name
from openclaw_nats.keys.rights import at_nats, inbox_of
from openclaw_nats.locations import Locations
from openclaw_nats.service.files import write_private
from openclaw_nats.service.quoting import nats_string as quoted
from openclaw_nats.service.tls import is_loopback
from openclaw_nats.settings import Settings

ACCOUNT = "RECEIVER"
_WHO_AM_I = "$SYS.REQ.USER.INFO"
_INBOX = "_INBOX_door"


def listens_with(settings: Settings) -> Options | None:
    """The second connection; None without a receiver. Raises SettingsError for half of its settings."""
    one = settings.receiver
    if not one.key:
        return None
    check_name(one.key)
    if _dials(settings):
        return Options(
            servers=_addresses(settings.nats.url),
            nkey_seed_file=str(Locations(settings.home).receiver_nkey),
            server_proof=server_proof(_seed(settings)),
            inbox_prefix=_INBOX,
        )
    if not one.url:
        raise SettingsError(
            "receiver.key names a receiver, and nothing says where to hear it",
            hint="Set receiver.leaf_url; at a NATS of your own receiver.url, receiver.user and receiver.password_file.",
        )
    password = settings.receiver_password()
    if not one.user or not password:
        raise SettingsError(
            "the sidecar has no user or no password to hear the receiver with",
            hint="Set receiver.user, and receiver.password_file to a file that holds the password.",
        )
    return Options(
        servers=_addresses(one.url),
        user=one.user,
        password=password,
        tls_ca_file=settings.nats.tls_ca_file,
        inbox_prefix=_INBOX,
    )


def configuration(settings: Settings) -> str:
    """What the configuration of a managed nats-server says about the link; empty without one. Raises SettingsError."""
    one = settings.receiver
    if not _dials(settings):
        return ""
    check_name(one.key)
    urls = ", ".join(quoted(_with_user(part.strip(), settings)) for part in one.leaf_url.split(","))
    tls = f", tls: {{ ca_file: {quoted(one.leaf_ca_file)} }}" if one.leaf_ca_file else ""
    heard = ", ".join(quoted(text) for text in (at_nats(one.key, ">"), f"{_INBOX}.>"))
    said = ", ".join(quoted(text) for text in (f"{inbox_of(one.key)}.>", _WHO_AM_I))
    seed = _seed(settings)
    publish = f"allow: [{said}], deny: [{quoted(server_proof(seed))}]"
    public = nkeys.from_seed(bytearray(seed.encode())).public_key.decode()
    user = f"nkey: {public}, permissions: {{ publish: {{ {publish} }}, subscribe: {{ allow: [{heard}] }} }}"
    return (
        f"leafnodes: {{ remotes: [ {{ urls: [{urls}], account: {ACCOUNT}{tls} }} ] }}\n"
        f"accounts: {{ {ACCOUNT}: {{ users: [ {{ {user} }} ] }} }}\n"
    )


def _dials(settings: Settings) -> bool:
    return bool(settings.nats.managed and settings.receiver.key and settings.receiver.leaf_url)


def _with_user(url: str, settings: Settings) -> str:
    parts = urlsplit(url)
    if parts.scheme != "tls" and not is_loopback(parts.hostname or ""):
        raise SettingsError(
            "receiver.leaf_url would send the password in the open", hint="It has to begin with tls://, or be loopback."
        )
    password = settings.leaf_password()
    if not password:
        raise SettingsError(
            "there is no password for the receiver's nats-server",
            hint="Set receiver.leaf_password_file to a file that holds it.",
        )
    address = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{quote(settings.receiver.leaf_user, safe='')}:{quote(password, safe='')}@{address}"


def _addresses(urls: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in urls.split(","))


def _seed(settings: Settings) -> str:
    """Of the second connection's nkey at our own nats-server, made where there is none."""
    path = Locations(settings.home).receiver_nkey
    if not path.exists():
        write_private(path, nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER).decode() + "\n")
    return path.read_text().strip()
