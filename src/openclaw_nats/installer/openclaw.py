"""OpenClaw on this machine: its command, its configuration, its plugins. Changes go through OpenClaw's own commands."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import secrets
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from openclaw_nats.errors import SetupError
from openclaw_nats.file_signature import signature
from openclaw_nats.gateway import tls
from openclaw_nats.installer import commands, node_version, openclaw_config
from openclaw_nats.installer.openclaw_config import OpenClawConfig
from openclaw_nats.openclaw_paths import expand_home, state_dir
from openclaw_nats.service.files import replace_file

PLUGIN_ID = "openclaw-nats"
COMMAND_OF = "OPENCLAW_NATS_COMMAND_OF"  # in the environment of our `openclaw` commands: the process that they are for
DEFAULT_PORT = 18789
DEFAULT_HOOKS_PATH = "/hooks"
_CERTIFICATE = Path("gateway", "tls", "gateway-cert.pem")  # below the state directory, where none is configured
_REDACTED = "__OPENCLAW_REDACTED__"  # what `openclaw config get` shows of a secret
_FILES_WITHOUT_INCLUDE = 2  # openclaw.json and .env
_SECTIONS = ("gateway", "hooks", "plugins")  # what we look at
_COMMAND_SECONDS = 180
_CONVERSATION_ACCESS_SINCE = (2026, 4, 23)  # the first whose packages know the key
_BATCH_SINCE = (2026, 6)  # `config set --batch-file`; it may be older, and 2026.3 has none
_NOISE = re.compile(r"\x1b\[[0-9;]*m")
_BOX = "│├╭╰◇"  # how OpenClaw frames its notes


class CommandFailed(SetupError):
    """An `openclaw` command ended with an error. Its words are for people: nothing is decided by them."""


@dataclass(frozen=True)
class OpenClaw:
    """One OpenClaw installation, as the environment (`OPENCLAW_STATE_DIR`, `OPENCLAW_CONFIG_PATH`) points at it."""

    command: str
    state_dir: Path
    config_path: Path
    _read: dict[str, OpenClawConfig] = field(default_factory=dict, compare=False, repr=False)
    _helps: dict[tuple[str, ...], str | None] = field(default_factory=dict, repr=False, compare=False)
    _readers: dict[tuple[str, ...], threading.Thread] = field(default_factory=dict, repr=False, compare=False)

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
        return cls(command, state, expand_home(given, environment) if given else state / "openclaw.json")

    @cached_property
    def version(self) -> str:
        """Its version, such as `2026.9.6`: as its package says, which takes no time, else as it says itself."""
        output = str(node_version.package_of(self.command).get("version", "")) or self.run("--version")
        match = re.search(r"\d{4}\.\d+\.\d+", output)
        if not match:
            raise SetupError(f"`{self.command} --version` printed no version: {output.strip()[:200]!r}")
        return match[0]

    @property
    def number(self) -> tuple[int, int, int]:
        """Year, month and number of its version."""
        year, month, number = self.version.split(".")[:3]
        return int(year), int(month), int(number)

    @property
    def asks_conversation_access(self) -> bool:
        """Whether this version knows `hooks.allowConversationAccess`; older ones call a config with it invalid."""
        return self.number >= _CONVERSATION_ACCESS_SINCE

    def config(self) -> dict[str, Any]:
        """Its effective configuration: `$include` and `${VARIABLE}` resolved; empty when there is no file yet."""
        return self.read().values

    def read(self) -> OpenClawConfig:
        """Its configuration, read once for as long as none of its files changes; raise SetupError.

        What we can't read OpenClaw itself is asked for (without its secrets, which it never shows).
        """
        known = self._read.get("config")
        if known is None or not known.is_current:
            known = self._read["config"] = self._read_file()
        return known

    def _read_file(self) -> OpenClawConfig:
        try:
            return openclaw_config.read(self.config_path, self.state_dir, os.environ)
        except SetupError:
            asked = {name: self._ask(name) for name in _SECTIONS}
            if all(value is None for value in asked.values()):
                raise
            seen = ((self.config_path, signature(self.config_path)),)
            return OpenClawConfig({name: value for name, value in asked.items() if value is not None}, files=seen)

    def _ask(self, path: str) -> Any:
        """What `openclaw config get` says; None when it says nothing."""
        try:
            return json.loads(self.run("config", "get", path, "--json"))
        except (SetupError, ValueError):
            return None

    def _text(self, *path: str) -> str:
        """A text of the configuration; one that holds a variable which only OpenClaw knows is asked of OpenClaw."""
        value = self.read().section(*path[:-1]).get(path[-1])
        text = value if isinstance(value, str) else ""
        if any("${" + name + "}" in text for name in self.read().unset):
            asked = self._ask(".".join(path))
            text = asked if isinstance(asked, str) else text
        return text.strip()

    def gateway_url(self, environment: Mapping[str, str] = os.environ) -> str:
        """Where its Gateway listens on this machine: `https` when it does TLS itself."""
        configured = self.read().section("gateway").get("port")
        given = environment.get("OPENCLAW_GATEWAY_PORT", "").strip()
        port = next((int(one) for one in (given, str(configured)) if re.fullmatch(r"[1-9]\d{0,4}", one)), DEFAULT_PORT)
        return f"{'https' if self.gateway_tls else 'http'}://127.0.0.1:{port}"

    @property
    def gateway_tls(self) -> bool:
        """Whether its Gateway itself speaks TLS."""
        return self.read().section("gateway", "tls").get("enabled") is True

    def gateway_certificate(self) -> str:
        """The file with its Gateway's certificate, which may be one that nobody signed; empty without TLS."""
        if not self.gateway_tls:
            return ""
        configured = self._text("gateway", "tls", "certPath")
        return str(expand_home(configured, os.environ) if configured else self.state_dir / _CERTIFICATE)

    def hooks_path(self) -> str:
        """Below which path its Gateway has the hooks: `/hooks` unless `hooks.path` says otherwise."""
        path = self._text("hooks", "path").strip("/")
        return f"/{path}" if path else DEFAULT_HOOKS_PATH

    def hook_token(self) -> tuple[str, str]:
        """The effective token of its hooks, and what stands for it when that can't be resolved here.

        Both are empty when no token is configured. What can't be resolved is a variable without a value in this
        environment, or a secret provider of OpenClaw's.
        """
        config = self.read()
        value = config.section("hooks").get("token")
        if isinstance(value, dict):
            found = config.environment.get(str(value.get("id")), "") if value.get("source") == "env" else ""
            return found, "" if found else f"the secret reference {value.get('source')}:{value.get('id')}"
        text = value.strip() if isinstance(value, str) else ""
        if text == _REDACTED:
            return "", "a value that OpenClaw does not show"
        unset = [name for name in sorted(config.unset) if "${" + name + "}" in text]
        return ("", "${" + unset[0] + "}") if unset else (text, "")

    def plugin_entry(self) -> dict[str, Any]:
        """Our entry in its configuration; empty when there is none."""
        return self.read().section("plugins", "entries", PLUGIN_ID)

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
        """Write what our entry lacks, and our id into `plugins.allow` where that list is used."""
        entry, wanted, path = self.plugin_entry(), self.wanted_entry(home), f"plugins.entries.{PLUGIN_ID}"
        values: dict[str, Any] = {}
        if _holds_only(entry, wanted):
            values[path] = wanted
        else:  # key by key: what the operator wrote next to ours stays as it is written, references and all
            for name, value in wanted.items():
                inner = value if isinstance(value, dict) else None
                values |= {f"{path}.{name}.{key}": one for key, one in inner.items()} if inner else {}
                values |= {} if inner else {f"{path}.{name}": value}
        allow = self.read().section("plugins").get("allow")
        if isinstance(allow, list) and allow and PLUGIN_ID not in allow:
            values["plugins.allow"] = [*allow, PLUGIN_ID]
        self.set_all(values)

    def blocked(self) -> str:
        """Why OpenClaw would not load our plugin although it is installed; empty when nothing is in the way."""
        plugins = self.read().section("plugins")
        if plugins.get("enabled") is False:
            return "plugins.enabled is false in OpenClaw's configuration"
        denied = plugins.get("deny")
        if isinstance(denied, list) and PLUGIN_ID in denied:
            return f"plugins.deny in OpenClaw's configuration holds {PLUGIN_ID}"
        return ""

    def set_config(self, path: str, value: object) -> None:
        """Set one value through `openclaw config set`."""
        self.run("config", "set", path, json.dumps(value), "--strict-json")

    def has_option(self, option: str, *command: str, since: tuple[int, ...]) -> bool:
        """Whether this version's `command` knows `option`, by its own help (2 to 4 s for the first question).

        One that shows no help is judged by its version: `since` is the first that is known to have the option.
        """
        shown = self._help(*command)
        if shown is None:
            return self.number >= since
        return re.search(rf"(?m)^  (?:-\w, )?{re.escape(option)}\b", shown) is not None

    def has_command(self, name: str, *parent: str) -> bool:
        """Whether this version has the command `name` below `parent`, by that one's own help; False without a help."""
        return re.search(rf"(?m)^  {re.escape(name)}\b", self._help(*parent) or "") is not None

    def look_ahead(self, *command: str) -> None:
        """Begin to read a command's help, which takes seconds, while something else is done."""
        reader = self._readers[command] = threading.Thread(target=self._ask_help, args=command, daemon=True)
        reader.start()

    def _help(self, *command: str) -> str | None:
        reader = self._readers.pop(command, None)
        if reader is not None:
            reader.join()
        return self._ask_help(*command)

    def _ask_help(self, *command: str) -> str | None:
        """What a command's help says; None when it shows none. It is asked once."""
        if command not in self._helps:
            try:
                self._helps[command] = _NOISE.sub("", self.run(*command, "--help"))
            except SetupError:
                self._helps[command] = None
        return self._helps[command]

    def set_all(self, values: Mapping[str, object]) -> None:
        """Set several values: in one command where this OpenClaw takes a file of them, which is read only by us."""
        if len(values) > 1 and self.number >= _BATCH_SINCE:
            with contextlib.suppress(CommandFailed):  # why is said by the one that fails alone
                self._set_batch(values)
                return
        for path, value in values.items():
            self.set_config(path, value)

    def _set_batch(self, values: Mapping[str, object]) -> None:
        with tempfile.TemporaryDirectory(prefix="openclaw-nats-") as folder:  # made 0700
            file = Path(folder, "set.json")
            file.write_text(json.dumps([{"path": path, "value": value} for path, value in values.items()]), "utf-8")
            self.run("config", "set", "--batch-file", str(file))

    def set_secret(self, path: str, secret: str) -> None:
        """Set a text that must not stand in a command line, which every user of this machine can read.

        OpenClaw writes a placeholder, which is then replaced in its file.
        """
        placeholder = f"openclaw-nats-placeholder-{secrets.token_hex(12)}"
        self.set_config(path, placeholder)
        for file in dict.fromkeys(Path(os.path.realpath(one)) for one, _ in self.read().files):
            before = file.read_bytes() if file.is_file() else b""
            if placeholder.encode() in before:
                replace_file(file, before.replace(placeholder.encode(), json.dumps(secret)[1:-1].encode()))
                return
        raise SetupError(f"OpenClaw did not write {path} into {self.config_path}")

    def unset_config(self, path: str) -> None:
        """Remove one value through `openclaw config unset`."""
        self.run("config", "unset", path)

    def restart_gateway(self) -> bool:
        """Have OpenClaw restart its Gateway service; False when there is no service to restart.

        Raises CommandFailed when there is one and it could not be restarted.
        """
        try:
            printed = self.run("gateway", "status", "--json", "--no-probe")
            service = json.loads(printed[printed.index("{") :])["service"]  # 2026.3 prints its banner before
            if service["loaded"] is not True:
                return False
        except (SetupError, ValueError, KeyError, TypeError):
            return False
        self.run("gateway", "restart")
        return True

    def _path_to_write(self) -> Path:
        """The configuration's file itself: OpenClaw does not write through a symbolic link.

        With an `$include` in it the link's folder counts, from which OpenClaw resolves names.
        """
        if not self.config_path.is_symlink():
            return self.config_path
        known = self._read.get("config")
        if known is not None and len(known.files) > _FILES_WITHOUT_INCLUDE:
            return self.config_path
        return Path(os.path.realpath(self.config_path))

    def run(self, *arguments: str) -> str:
        """Run an `openclaw` command and return what it printed; raise CommandFailed with its last lines."""
        environment = dict(os.environ) | {
            "OPENCLAW_STATE_DIR": str(self.state_dir),
            "OPENCLAW_CONFIG_PATH": str(self._path_to_write()),
            "NO_COLOR": "1",
            COMMAND_OF: str(os.getpid()),
        }
        shown = f"openclaw {' '.join(arguments)}"[:120]
        try:
            done = commands.run([self.command, *arguments], environment, _COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            raise SetupError(f"`{shown}` did not finish within {_COMMAND_SECONDS} s") from None
        except OSError as error:
            raise SetupError(f"`{shown}` can't be run: {error.strerror}") from None
        if done.returncode != 0:
            output = _NOISE.sub("", done.stdout + "\n" + done.stderr)
            lines = [line for line in output.splitlines() if line.strip() and line.strip()[0] not in _BOX]
            text = f"`{shown}` failed (exit code {done.returncode}): {' / '.join(lines[-3:])[:500]}"
            raise CommandFailed(text)
        return done.stdout


def _holds_only(entry: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether an entry has nothing in it but what we write ourselves."""
    return all(
        name in wanted and (not isinstance(value, dict) or set(value) <= set(wanted[name]))
        for name, value in entry.items()
    )


def gateway_answers(url: str, seconds: float = 3.0) -> bool:
    """Whether a Gateway answers at `url` within `seconds`: one where nothing listens costs no time."""
    return gateway_state(url, seconds) == "answers"


def gateway_state(url: str, seconds: float = 3.0) -> Literal["answers", "silent", "away"]:
    """Whether a Gateway answers at `url`, is there but silent (busy for longer, or hanging), or nothing listens."""
    parts = urlsplit(url)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=seconds, context=tls.unchecked()
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=seconds)
    try:
        connection.request("GET", "/healthz")
        return "answers" if connection.getresponse().status < 500 else "away"
    except TimeoutError:
        return "silent"
    except (OSError, http.client.HTTPException):
        return "away"
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
