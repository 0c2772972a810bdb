"""All settings of one installation, and what is worked out from them."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal
from urllib.parse import urlsplit

from openclaw_nats.errors import NotSetUp
from openclaw_nats.settings.declaring import AT_NATS_START, setting
from openclaw_nats.settings.kinds import FLAG, one_of
from openclaw_nats.settings.sections import (
    Agents,
    Approvals,
    Budget,
    Capture,
    Dashboard,
    Delivery,
    Filter,
    Gateway,
    Inbox,
    Index,
    Log,
    Mqtt,
    Nats,
    Otel,
    Receiver,
    Redaction,
    Schedules,
    Sidecar,
    Spool,
    Stream,
    Watchdog,
)

NATS_NKEY = "nats-nkey"  # in the state directory: the seed of our own user at a managed nats-server
API_KEY_VARIABLE = "NATS_PLUGIN_API_KEY"
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")  # as addresses name this machine
SHORTEST_KEY = 16  # characters of the API key
HOOK_TOKEN_VARIABLE = "OPENCLAW_HOOK_TOKEN"  # noqa: S105  (a name)
DEFAULT = "default"  # the origin of a setting that nobody set


@dataclass(frozen=True)
class Settings:
    """All settings of one installation, checked: durations in seconds, sizes in bytes.

    `origins` says for each name where its value is from: "default", the path of `config.toml`, or a variable.
    """

    home: Path
    origins: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    notes: tuple[str, ...] = ()  # variables in the environment that are not used, and why
    sidecar: Sidecar = field(default_factory=Sidecar)
    gateway: Gateway = field(default_factory=Gateway)
    nats: Nats = field(default_factory=Nats)
    mqtt: Mqtt = field(default_factory=Mqtt)
    durability: Literal["always", "interval"] = setting(
        one_of("always", "interval"),
        "always",
        "Managed nats-server: fsync each ack, or every 2 m.",
        applies=AT_NATS_START,
    )
    receiver: Receiver = field(default_factory=Receiver)
    stream: Stream = field(default_factory=Stream)
    capture: Capture = field(default_factory=Capture)
    filter: Filter = field(default_factory=Filter)
    redaction: Redaction = field(default_factory=Redaction)
    spool: Spool = field(default_factory=Spool)
    delivery: Delivery = field(default_factory=Delivery)
    budget: Budget = field(default_factory=Budget)
    schedules: Schedules = field(default_factory=Schedules)
    agents: Agents = field(default_factory=Agents)
    approvals: Approvals = field(default_factory=Approvals)
    inbox: Inbox = field(default_factory=Inbox)
    index: Index = field(default_factory=Index)
    dashboard: Dashboard = field(default_factory=Dashboard)
    watchdog: Watchdog = field(default_factory=Watchdog)
    otel: Otel = field(default_factory=Otel)
    compat: bool = setting(FLAG, True, "Whether scripts for @omnixal/openclaw-nats-plugin find its paths and answers.")
    log: Log = field(default_factory=Log)

    @property
    def gateway_id(self) -> str:
        """The Gateway's name in events."""
        return self.gateway.id or re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname()) or "gateway"

    @property
    def nats_address(self) -> tuple[str, int]:
        """Host and port of the first NATS server; a managed one has no other."""
        address = urlsplit(self.nats.url.split(",")[0])
        return address.hostname or "127.0.0.1", address.port or 4222

    @property
    def sidecar_speaks_tls(self) -> bool:
        """Whether the sidecar has a certificate and its key: it takes both."""
        return bool(self.sidecar.tls_certificate and self.sidecar.tls_key)

    @property
    def half_of_tls(self) -> str:
        """The setting that is missing when only one of the two is set; else empty."""
        if bool(self.sidecar.tls_certificate) == bool(self.sidecar.tls_key):
            return ""
        return "sidecar.tls_key" if self.sidecar.tls_certificate else "sidecar.tls_certificate"

    @property
    def sidecar_is_here(self) -> bool:
        """Whether `sidecar.url` means the sidecar of this state directory, and nothing in front of it.

        Its Unix socket is the way to it then. Where a variable gives the port, it is that inside a container.
        """
        try:
            parts = urlsplit(self.sidecar.url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            return False
        if parts.hostname not in LOOPBACK_HOSTS:
            return False
        given = self.origins.get("sidecar.port", "").isupper()
        return not self.origins.get("sidecar.url", "").isupper() and (given or port == self.sidecar.port)

    @property
    def gateway_page(self) -> str:
        """The address of the Gateway for people's browsers."""
        return self.gateway.public_url or self.gateway.url

    @property
    def api_key_file(self) -> Path:
        """Where the API key lies, mode 0600."""
        return self.home / "api-key"

    @property
    def api_key_is_given(self) -> bool:
        """Whether the API key comes from the environment: then the file counts for nothing."""
        return bool(os.environ.get(API_KEY_VARIABLE, "").strip())

    def api_key(self) -> str:
        """The API key; raise SettingsError if there is none, so that nothing ever runs without one."""
        given = os.environ.get(API_KEY_VARIABLE, "").strip()
        key = given or _read(self.api_key_file)
        if len(key) >= SHORTEST_KEY:
            return key
        if given or key:
            where = API_KEY_VARIABLE if given else self.api_key_file
            raise NotSetUp(
                f"no API key: the one in {where} is shorter than {SHORTEST_KEY} characters",
                hint="Put the whole key there. Without it, `openclaw-nats setup` makes one.",
            )
        if problem := _why_unreadable(self.api_key_file):
            hint = "Who owns it? `ls -ld` shows it; run this as the user of the Gateway."
            raise NotSetUp(f"no API key: {self.api_key_file} can't be read: {problem}", hint=hint)
        raise NotSetUp(
            f"no API key: {self.api_key_file} is missing or empty",
            hint="Run `openclaw-nats setup`, which makes one. Was it set up for another OPENCLAW_STATE_DIR or user?",
        )

    def nats_password(self) -> str:
        """The password for `nats.user`, from its file; empty if none is set."""
        path = self.nats.password_file
        return _read(Path(path)) if path else ""

    def receiver_password(self) -> str:
        """The password for `receiver.user`, from its file; empty if none is set."""
        return _read(Path(self.receiver.password_file)) if self.receiver.password_file else ""

    def hook_token(self) -> str:
        """OpenClaw's `hooks.token`, read again each time, since it may be set right while we run; empty without one."""
        path = self.gateway.hook_token_file or self.home / "hook-token"
        return os.environ.get(HOOK_TOKEN_VARIABLE, "").strip() or _read(Path(path))

    def for_plugin(self) -> dict[str, object]:
        """What the plugin needs to know, as it stands in `plugin.json`. Holds no secret."""
        return {
            "sidecarUrl": self.sidecar.url,
            "socket": self.sidecar_is_here,
            "gatewayId": self.gateway_id,
            "capture": {
                "default": self.capture.default,
                "rules": [{"subjects": subjects, "mode": mode} for subjects, mode in self.capture.rules],
            },
            "filter": {"allow": list(self.filter.allow), "block": list(self.filter.block)},
            "spoolMaxBytes": self.spool.max_bytes,
        }


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def _why_unreadable(path: Path) -> str:
    """What keeps a file that is there from being read; empty when nothing does, or when there is none."""
    try:
        path.open("rb").close()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return ""
