"""Setup and uninstall as a list of steps, each of which changes only what is not yet right and knows its undoing."""

from __future__ import annotations

import json
import re
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from openclaw_nats import __version__, port_holder
from openclaw_nats.errors import SetupError
from openclaw_nats.installer import config_file, credentials, gateway_plugin, nats_server
from openclaw_nats.installer.gateway_hooks import GatewayHooks
from openclaw_nats.installer.openclaw import PLUGIN_ID, OpenClaw
from openclaw_nats.locations import Locations
from openclaw_nats.plugin_files import plugin_dir
from openclaw_nats.service.files import write_private
from openclaw_nats.service.nats_config import USER
from openclaw_nats.settings import Settings, find, load, value_of

NO_MQTT = "MQTT is spoken by the nats-server that we run, and this NATS is not ours"
NO_MQTT_HINT = "Turn it on in that server's own configuration (its `mqtt` block), and make the users there."


@dataclass(frozen=True)
class Options:
    """What the operator asked `setup` or `up` for; None means: keep what is configured, else the default."""

    sidecar_port: int | None = None
    nats_port: int | None = None
    mqtt_port: int | None = None
    nats_url: str | None = None
    gateway_url: str | None = None
    nats_user: str | None = None
    nats_password_file: str | None = None
    nats_credentials: str | None = None
    nats_nkey: str | None = None
    nats_ca: str | None = None
    runtime: str | None = None

    def nats_settings(self) -> dict[str, str]:
        """The settings of an existing NATS, as far as they were given; raise SetupError for one without an address."""
        given = {
            "nats.user": self.nats_user,
            "nats.password_file": self.nats_password_file,
            "nats.credentials_file": self.nats_credentials,
            "nats.nkey_seed_file": self.nats_nkey,
            "nats.tls_ca_file": self.nats_ca,
        }
        found = {name: value for name, value in given.items() if value is not None}
        if found and self.nats_url is None:
            raise SetupError(
                "a user, key, credentials or CA for NATS was given, but not which NATS",
                hint="Add --nats-url; the nats-server that we run ourselves gets a password of its own.",
            )
        if self.nats_url is None:
            return {}
        # What is not given is taken back: credentials of another server are no use at this one.
        return {"nats.managed": "false", "nats.url": self.nats_url, **dict.fromkeys(given, ""), **found}


@dataclass
class Step:
    """One thing that setup sees to. `todo` says what would change (empty: it is right already); `apply` does it."""

    name: str
    todo: Callable[[], str]
    apply: Callable[[], None]
    detail: Callable[[], str] = field(default=lambda: "")


class Setup:
    """The steps of `setup`, in order, for one OpenClaw installation."""

    def __init__(self, openclaw: OpenClaw, options: Options) -> None:
        self.openclaw = openclaw
        self.options = options
        self.where = Locations(openclaw.state_dir / "nats")
        self.record = read_record(self.where)
        self.hooks = GatewayHooks(openclaw, self.where.hook_token)
        self._values: dict[str, str] | None = None
        self.reload_due = False  # a turn kept the running Gateway from loading the plugin that was installed

    def steps(self) -> list[Step]:
        """All steps; the service and the check of the running Gateway are the command's own."""
        return [
            Step("OpenClaw", lambda: "", lambda: None, lambda: f"{self.openclaw.version}, {self.openclaw.config_path}"),
            Step("NATS", self._nats_todo, self._apply_nats, self._nats_detail),
            Step("API key", self._key_todo, self._apply_key, lambda: str(self.where.api_key)),
            Step("Settings", self._settings_todo, self._apply_settings, lambda: str(self.where.config)),
            # Before the plugin: a Gateway of 2026.3 restarts itself for that one, and may miss what changes meanwhile.
            Step("Way to the agent", self.hooks.todo, self._apply_hooks, self.hooks.detail),
            Step("Plugin", self._plugin_todo, self._apply_plugin, lambda: str(self.openclaw.installed_plugin())),
            Step("Plugin's configuration", self._entry_todo, self._apply_entry, self._entry_detail),
        ]

    def settings(self) -> Settings:
        """The settings as they are now."""
        return load(self.where.home)

    def wanted_settings(self) -> Settings:
        """The settings as they will be, nothing written yet."""
        return load(self.where.home, also=self._wanted())

    def notes(self) -> list[str]:
        """Variables of other programs which are set here and do not count, and why."""
        return list(self.wanted_settings().notes)

    def gateway_url(self) -> str:
        """Where the Gateway is, as asked for, as configured before, or as OpenClaw's configuration says."""
        if self.options.gateway_url is not None:
            return self.options.gateway_url
        noted = self.settings().gateway.url
        # One that setup found itself follows OpenClaw's configuration; one that the operator chose stays.
        if self._chosen("gateway.url") and noted != self.record.get("gatewayUrl"):
            return noted
        return self.openclaw.gateway_url()

    # NATS ------------------------------------------------------------------------------------------------------

    @property
    def managed(self) -> bool:
        """Whether we run nats-server ourselves."""
        if self.options.nats_settings():
            return False
        settings = self.settings()
        if self.options.nats_port is not None or settings.origins["nats.managed"] == "NATS_SERVERS":
            return True  # that variable may be another program's: --nats-url says that it is meant
        return settings.nats.managed

    def _nats_todo(self) -> str:
        if not self.managed or self.where.nats_password.exists():
            return ""
        binary, version = nats_server.find()
        return f"run nats-server {version} ({binary}) on port {self._nats_port()} with a password of its own"

    def _apply_nats(self) -> None:
        credentials.make_nats_password(self.where)

    def _nats_detail(self) -> str:
        if not self.managed:
            return f"uses {without_password(self.options.nats_url or self.settings().nats.url)}"
        binary, version = nats_server.find()
        return f"nats-server {version} ({binary})"

    def _nats_port(self) -> int:
        if self.options.nats_port is not None:
            return self.options.nats_port
        if self.settings().origins["nats.url"] == "NATS_SERVERS" or not self._chosen("nats.url"):
            return _free_port(4222)
        return self.settings().nats_address[1]

    # Settings --------------------------------------------------------------------------------------------------

    def _key_todo(self) -> str:
        return "" if self.where.api_key.exists() else f"make an API key in {self.where.api_key} (only you can read it)"

    def _apply_key(self) -> None:
        credentials.make_api_key(self.where)

    def _chosen(self, name: str) -> bool:
        return self.settings().origins[name] != "default"

    def _wanted(self) -> dict[str, str]:
        if self._values is not None:
            return self._values
        options, settings = self.options, self.settings()
        values: dict[str, str] = {}
        if self.managed:
            values["nats.managed"] = "true"
            values["nats.url"] = f"nats://127.0.0.1:{self._nats_port()}"
            values["nats.user"] = USER
            values["nats.password_file"] = str(self.where.nats_password)
        else:
            values |= options.nats_settings()
            if options.mqtt_port:
                raise SetupError(NO_MQTT, hint=NO_MQTT_HINT)
        if options.mqtt_port is not None:
            values["mqtt.port"] = str(options.mqtt_port)
        elif not self.managed and settings.mqtt.port:
            values["mqtt.port"] = "0"
        port = options.sidecar_port
        if port is None and not self._chosen("sidecar.port"):
            port = _free_port(settings.sidecar.port)
        if port is not None:
            values["sidecar.port"] = str(port)
            values["sidecar.url"] = f"http://127.0.0.1:{port}"
        values["gateway.url"] = self.gateway_url()
        values["gateway.hooks_path"] = self.openclaw.hooks_path()
        if values["gateway.url"] == self.openclaw.gateway_url():
            values["gateway.certificate_file"] = self.openclaw.gateway_certificate()
        self._values = values
        return values

    def _settings_todo(self) -> str:
        now = self.settings()
        wanted = self._wanted()
        changes = [
            f"{name} = {without_password(value) if name == 'nats.url' else value}"
            for name, value in wanted.items()
            if not self._is_set(now, name, value)
        ]
        return f"write {', '.join(changes)}" if changes else ""

    def _is_set(self, now: Settings, name: str, value: str) -> bool:
        found = str(value_of(now, name))
        same = found == value or (value in ("true", "false") and found.lower() == value)
        return same and (now.origins[name] == str(self.where.config) or value == str(find(name).default))

    def _apply_settings(self) -> None:
        now = self.settings()
        changes = {name: value for name, value in self._wanted().items() if not self._is_set(now, name, value)}
        config_file.set_values(self.where.config, changes)
        if self._wanted()["gateway.url"] == self.openclaw.gateway_url() != self.record.get("gatewayUrl"):
            self._save({"gatewayUrl": self.openclaw.gateway_url()})
        settings = self.settings()
        write_private(self.where.plugin_settings, json.dumps(settings.for_plugin(), indent=2) + "\n")

    # OpenClaw --------------------------------------------------------------------------------------------------

    def _plugin_todo(self) -> str:
        if self.openclaw.plugin_is_current(plugin_dir()):
            return ""
        return f"install the plugin {PLUGIN_ID} {__version__} through `openclaw plugins install`"

    def _apply_plugin(self) -> None:
        self._keep_original()
        staged = self.where.staged_plugin
        shutil.rmtree(staged, ignore_errors=True)
        shutil.copytree(plugin_dir(), staged, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
        self.reload_due = not gateway_plugin.install(self.openclaw, staged)

    def _entry_todo(self) -> str:
        if problem := self.openclaw.blocked():
            raise SetupError(problem, hint="Change that, then run `openclaw-nats setup` again.")
        wanted, entry = self.openclaw.wanted_entry(self.where.home), self.openclaw.plugin_entry()
        missing = {key: value for key, value in wanted.items() if entry.get(key) != value}
        if not missing:
            return ""
        return f"set plugins.entries.{PLUGIN_ID} in OpenClaw's configuration: {json.dumps(missing)}"

    def _apply_entry(self) -> None:
        self._keep_original()
        self.openclaw.configure_plugin(self.where.home)

    def _entry_detail(self) -> str:
        if self.openclaw.asks_conversation_access:
            return "enabled, with access to conversation hooks"
        return "enabled (this version has no switch for conversation hooks)"

    def _apply_hooks(self) -> None:
        self._keep_original()
        before = self.hooks.current()
        self.hooks.apply()
        if self.hooks.current() != before:
            self._save({"hooksBefore": self.record.get("hooksBefore", before), "hooksSet": self.hooks.current()})

    def _keep_original(self) -> None:
        """Keep the configuration as it was before us, byte for byte, for uninstall."""
        if "openclawConfig" in self.record:
            return
        path = self.openclaw.config_path
        if path.exists():
            write_private(self.where.openclaw_backup, path.read_bytes().decode("utf-8", "surrogateescape"))
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0
        self._save({"openclawConfig": str(path), "existed": path.exists(), "openclawConfigMode": mode})

    def _save(self, values: dict[str, Any]) -> None:
        self.record |= values
        write_private(self.where.setup_record, json.dumps(self.record, indent=2) + "\n")

    def remember_service(self, kind: str) -> None:
        """Note how the service runs, for `start`, `stop` and `uninstall`, and which OpenClaw this is, for `status`."""
        wanted = {"service": kind, "version": __version__, "openclawVersion": self.openclaw.version}
        if any(self.record.get(name) != value for name, value in wanted.items()):
            self._save(wanted)


def read_record(where: Locations) -> dict[str, Any]:
    """What setup has noted; empty when it never ran."""
    try:
        found = json.loads(where.setup_record.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def in_containers(where: Locations) -> bool:
    """Whether nats-server and the sidecar run in containers."""
    return bool(read_record(where).get("service", "") == "docker")


def without_password(url: str) -> str:
    """Addresses of NATS for people's eyes: who we are there may stand in them."""
    return re.sub(r"//[^,]*@", "//", url)


def _free_port(preferred: int) -> int:
    """`preferred` when nothing listens there, else the next free one: installations live side by side."""
    for port in range(preferred, preferred + 100):
        if port_holder.is_free(port):
            return port
    raise SetupError(
        f"no free port from {preferred} to {preferred + 99}", hint="Name one with --sidecar-port or --nats-port."
    )
