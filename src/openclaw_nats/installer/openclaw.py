"""OpenClaw on this machine: its command, its configuration, its plugins. Changes go through OpenClaw's own commands."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import json5

from openclaw_nats.errors import SetupError
from openclaw_nats.settings import state_dir

PLUGIN_ID = "openclaw-nats"
DEFAULT_PORT = 18789
_COMMAND_SECONDS = 180
_CONVERSATION_ACCESS_SINCE = (2026, 4)
_NOISE = re.compile(r"\x1b\[[0-9;]*m")
_UNKNOWN = ("unknown option", "unknown command", "too many arguments")
_BOX = "│├╭╰◇"  # how OpenClaw frames its notes


class CommandFailed(SetupError):
    """An `openclaw` command ended with an error; `output` is all that it printed."""

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message)
        self.output = output

    @property
    def is_unknown(self) -> bool:
        """Whether this version does not know the command or one of its options."""
        return any(words in self.output for words in _UNKNOWN)


@dataclass(frozen=True)
class OpenClaw:
    """One OpenClaw installation, as the environment (`OPENCLAW_STATE_DIR`, `OPENCLAW_CONFIG_PATH`) points at it."""

    command: str
    state_dir: Path
    config_path: Path

    @classmethod
    def find(cls, environment: Mapping[str, str] = os.environ) -> OpenClaw:
        """The installation that the environment names; raise SetupError when there is no `openclaw` command."""
        command = environment.get("OPENCLAW_BIN") or shutil.which("openclaw")
        if not command:
            raise SetupError(
                "the command `openclaw` is not on PATH",
                hint="Install OpenClaw (`npm install -g openclaw`), or set OPENCLAW_BIN to its path.",
            )
        state = state_dir(environment)
        given = environment.get("OPENCLAW_CONFIG_PATH", "").strip()
        return cls(command, state, Path(given).expanduser().absolute() if given else state / "openclaw.json")

    @cached_property
    def version(self) -> str:
        """Its version, such as `2026.9.6`."""
        output = self.run("--version")
        match = re.search(r"\d{4}\.\d+\.\d+", output)
        if not match:
            raise SetupError(f"`{self.command} --version` printed no version: {output.strip()[:200]!r}")
        return match[0]

    @property
    def asks_conversation_access(self) -> bool:
        """Whether this version knows `hooks.allowConversationAccess`; older ones call a config with it invalid."""
        major, minor = self.version.split(".")[:2]
        return (int(major), int(minor)) >= _CONVERSATION_ACCESS_SINCE

    def config(self) -> dict[str, Any]:
        """Its configuration (JSON5); empty when there is no file yet."""
        try:
            found = json5.loads(self.config_path.read_text())
        except FileNotFoundError:
            return {}
        except (ValueError, OSError) as error:
            raise SetupError(
                f"{self.config_path} can't be read: {error}", hint="`openclaw doctor` may mend it."
            ) from None
        return found if isinstance(found, dict) else {}

    def gateway_url(self, environment: Mapping[str, str] = os.environ) -> str:
        """Where its Gateway listens."""
        configured = self.config().get("gateway", {}).get("port")
        port = environment.get("OPENCLAW_GATEWAY_PORT") or configured or DEFAULT_PORT
        return f"http://127.0.0.1:{port}"

    def plugin_entry(self) -> dict[str, Any]:
        """Our entry in its configuration; empty when there is none."""
        entry = self.config().get("plugins", {}).get("entries", {}).get(PLUGIN_ID, {})
        return entry if isinstance(entry, dict) else {}

    def wanted_entry(self, home: Path) -> dict[str, Any]:
        """What our entry must hold for every event to arrive."""
        entry: dict[str, Any] = {"enabled": True, "config": {"home": str(home)}}
        if self.asks_conversation_access:
            entry["hooks"] = {"allowConversationAccess": True}
        return entry

    def installed_plugin(self) -> Path:
        """Where OpenClaw keeps our plugin when it is installed."""
        return self.state_dir / "extensions" / PLUGIN_ID

    def plugin_is_current(self, source: Path) -> bool:
        """Whether the installed plugin has the same files as `source`."""
        installed = self.installed_plugin()
        return installed.is_dir() and fingerprint(installed) == fingerprint(source)

    def configure_plugin(self, home: Path) -> None:
        """Write our entry, and our id into `plugins.allow` where that list is used."""
        entry = self.plugin_entry() | self.wanted_entry(home)
        self.set_config(f"plugins.entries.{PLUGIN_ID}", entry)
        allow = self.config().get("plugins", {}).get("allow")
        if isinstance(allow, list) and allow and PLUGIN_ID not in allow:
            self.set_config("plugins.allow", [*allow, PLUGIN_ID])

    def blocked(self) -> str:
        """Why OpenClaw would not load our plugin although it is installed; empty when nothing is in the way."""
        plugins = self.config().get("plugins", {})
        if plugins.get("enabled") is False:
            return "plugins.enabled is false in OpenClaw's configuration"
        if PLUGIN_ID in (plugins.get("deny") or []):
            return f"plugins.deny in OpenClaw's configuration holds {PLUGIN_ID}"
        return ""

    def set_config(self, path: str, value: object) -> None:
        """Set one value through `openclaw config set`."""
        text = json.dumps(value)
        try:
            self.run("config", "set", path, text, "--strict-json")
        except CommandFailed as error:
            if not error.is_unknown:
                raise
            self.run("config", "set", path, text, "--json")

    def restart_gateway(self) -> bool:
        """Ask OpenClaw to restart its Gateway service; False when there is no service to restart."""
        try:
            output = self.run("gateway", "restart")
        except SetupError:
            return False
        return "not installed" not in output and "not loaded" not in output

    def run(self, *arguments: str) -> str:
        """Run an `openclaw` command and return what it printed; raise CommandFailed with its last lines."""
        environment = dict(os.environ) | {
            "OPENCLAW_STATE_DIR": str(self.state_dir),
            "OPENCLAW_CONFIG_PATH": str(self.config_path),
            "NO_COLOR": "1",
        }
        shown = f"openclaw {' '.join(arguments)}"[:120]
        try:
            done = subprocess.run(
                [self.command, *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_COMMAND_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise SetupError(f"`{shown}` did not end within {_COMMAND_SECONDS} s") from None
        except OSError as error:
            raise SetupError(f"`{shown}` can't be run: {error.strerror}") from None
        if done.returncode != 0:
            output = _NOISE.sub("", done.stdout + "\n" + done.stderr)
            lines = [line for line in output.splitlines() if line.strip() and line.strip()[0] not in _BOX]
            text = f"`{shown}` failed (exit code {done.returncode}): {' / '.join(lines[-3:])[:500]}"
            raise CommandFailed(text, output)
        return done.stdout


def gateway_answers(url: str) -> bool:
    """Whether a Gateway answers at `url` at this moment."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "127.0.0.1", parts.port, timeout=3)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def fingerprint(folder: Path) -> str:
    """A hash over the names and contents of a plugin's own files (not what OpenClaw adds to the folder)."""
    total = hashlib.sha256()
    files = [path for path in folder.glob("*") if path.suffix in (".js", ".json") and path.name != "package-lock.json"]
    files += (folder / "skills").rglob("*.md")
    for path in sorted(files):
        name = path.relative_to(folder).as_posix()
        total.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()
