"""Where NATS is and who we are there, as nats-py wants it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import nkeys
from nkeys import NkeysError

from openclaw_nats.errors import words_for
from openclaw_nats.jetstream.server_proof import server_proof
from openclaw_nats.settings import NATS_NKEY, Settings


@dataclass(frozen=True)
class Options:
    """Where NATS is and who we are there. Secrets are never shown by `repr`."""

    servers: tuple[str, ...]
    user: str = ""
    password: str = ""
    credentials_file: str = ""
    nkey_seed_file: str = ""
    tls_ca_file: str = ""
    server_proof: str = ""  # what only our own nats-server knows, besides us (service/nats_config.py)
    domain: str = ""
    inbox_prefix: str = "_INBOX"

    @property
    def api(self) -> str:
        """What JetStream's API begins with; a domain is another server's JetStream, behind a leaf node."""
        return f"$JS.{self.domain}.API" if self.domain else "$JS.API"

    @property
    def shown(self) -> str:
        """The first server's address without user and password, which may stand in it."""
        scheme, _, rest = self.servers[0].partition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}"

    def __repr__(self) -> str:
        return f"Options({self.shown})"

    @classmethod
    def from_settings(cls, settings: Settings) -> Options:
        """The options that the settings ask for; a nats-server of ours knows us by an nkey once there is one."""
        own = settings.home / NATS_NKEY
        if settings.nats.managed and not settings.nats.nkey_seed_file and own.is_file():
            return cls(
                servers=servers_of(settings.nats.url),
                nkey_seed_file=str(own),
                server_proof=server_proof(own.read_text()),
                domain=settings.nats.domain,
                inbox_prefix=settings.nats.inbox_prefix,
            )
        return cls(
            servers=servers_of(settings.nats.url),
            user=settings.nats.user,
            password=settings.nats_password(),
            credentials_file=settings.nats.credentials_file,
            nkey_seed_file=settings.nats.nkey_seed_file,
            tls_ca_file=settings.nats.tls_ca_file,
            domain=settings.nats.domain,
            inbox_prefix=settings.nats.inbox_prefix,
        )

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for nats-py's `connect`; raise OSError or ValueError for a file that is not what it should.

        Looked at here, because nats-py waits in vain for an answer to an empty identity.
        """
        servers = [urlsplit(server) for server in self.servers]
        found: dict[str, Any] = {"servers": list(self.servers), "inbox_prefix": self.inbox_prefix.encode()}
        named = {server.netloc.rpartition("@")[0] for server in servers}
        if self.user:
            found |= {"user": self.user, "password": self.password}
        elif len(named) == 1 and (who := named.pop()):
            # nats-py would send what stands in the address as it stands there, percent-encoded.
            found |= _identity(who)
            found["servers"] = [one._replace(netloc=one.netloc.rpartition("@")[2]).geturl() for one in servers]
        elif any("%" in who for who in named):
            raise ValueError("the addresses of NATS name several users: set nats.user and nats.password_file instead")
        if self.credentials_file:
            text = Path(self.credentials_file).read_text(errors="replace")
            if "NATS USER JWT" not in text or "USER NKEY SEED" not in text:
                raise ValueError(f"{self.credentials_file} is no NATS credentials file (it has no user JWT and seed)")
            found["user_credentials"] = self.credentials_file
        if self.nkey_seed_file:
            try:
                nkeys.from_seed(bytearray(Path(self.nkey_seed_file).read_bytes().strip())).wipe()
            except (NkeysError, ValueError) as error:
                raise ValueError(f"{self.nkey_seed_file} holds no nkey seed: {words_for(error)}") from None
            found["nkeys_seed"] = self.nkey_seed_file
        if self.tls_ca_file:
            found["tls"] = ssl.create_default_context(cafile=self.tls_ca_file)
        return found


def servers_of(urls: str) -> tuple[str, ...]:
    """The addresses of NATS that a text with commas names."""
    return tuple(part.strip() for part in urls.split(","))


def _identity(text: str) -> dict[str, str]:
    """Who an address of NATS says we are: `user:password`, or a token, each percent-encoded as in any URL."""
    user, colon, password = text.partition(":")
    return {"user": unquote(user), "password": unquote(password)} if colon else {"token": unquote(user)}
