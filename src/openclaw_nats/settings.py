"""Settings: read once, checked, frozen. Nobody else reads the environment or `config.toml`.

Order, the later wins: default, `config.toml`, environment. Each setting `section.name` can be given as
`OPENCLAW_NATS_SECTION_NAME`; three have names of other programs, too (`foreign_variables.py` says when those count).
"""

from __future__ import annotations

import json
import os
import re
import socket
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from openclaw_nats import foreign_variables
from openclaw_nats.errors import InvalidSubject, NotSetUp, SettingsError
from openclaw_nats.events.subjects import EVERYTHING, check_nats_subject, check_pattern
from openclaw_nats.foreign_variables import ALIASES as ALIASES
from openclaw_nats.openclaw_paths import state_dir as state_dir
from openclaw_nats.suggestions import did_you_mean

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB|TiB)?")
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}

CAPTURE_MODES = ("metadata", "payload")


def parse_duration(value: object) -> float:
    """Seconds of a duration such as `500ms`, `30s`, `10m`, `2h`, `7d`; raise ValueError otherwise."""
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if not match:
        raise ValueError("a duration such as 30s, 10m, 2h or 7d")
    return float(match[1]) * _SECONDS[match[2]]


def parse_size(value: object) -> int:
    """Bytes of a size such as `256MiB` or `4GiB`; raise ValueError otherwise."""
    match = _SIZE.fullmatch(str(value).strip())
    if not match:
        raise ValueError("a size such as 256MiB or 4GiB")
    return int(match[1]) * _BYTES[match[2] or "B"]


def _inbox_size(value: object) -> int:
    if (size := parse_size(value)) < 16 << 20:
        raise ValueError("a size of 16MiB or more")
    return size


def format_duration(seconds: float) -> str:
    """Seconds as `parse_duration` reads them, in the largest unit that is exact."""
    for unit in ("d", "h", "m", "s"):
        if seconds >= _SECONDS[unit] and seconds % _SECONDS[unit] == 0:
            return f"{int(seconds / _SECONDS[unit])}{unit}"
    return f"{round(seconds * 1000)}ms"


def format_size(count: int) -> str:
    """Bytes as `parse_size` reads them, in the largest unit that is exact."""
    unit = next(
        unit
        for unit in ("TiB", "GiB", "MiB", "KiB", "B")
        if (count % _BYTES[unit] == 0 and count >= _BYTES[unit]) or unit == "B"
    )
    return f"{count // _BYTES[unit]}{unit}"


def _text(value: object) -> str:
    if not isinstance(value, str) or any(ord(character) < 32 for character in value):
        raise ValueError("one line of text")
    return value


def _url(*schemes: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        text = _text(value)
        for part in text.split(",") if text else []:
            if not re.fullmatch(rf"({'|'.join(schemes)})://[^\s/]+(/.*)?", part.strip()):
                raise ValueError(f"an address that begins with {schemes[0]}://")
        return text.rstrip("/")

    return parse


def _path(value: object) -> str:
    text = _text(value).strip("/")
    if not re.fullmatch(r"[^\s?#]+", text):
        raise ValueError("a path such as /hooks")
    return f"/{text}"


def _port(value: object) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,5}", str(value)) or not 0 < int(str(value)) < 65536:
        raise ValueError("a port from 1 to 65535")
    return int(str(value))


def _whole(value: object) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,9}", str(value)) or int(str(value)) < 1:
        raise ValueError("a whole number of 1 or more")
    return int(str(value))


def _share(value: object) -> float:
    if isinstance(value, bool) or not 0 <= (share := float(str(value))) <= 1:
        raise ValueError("a number from 0 (none) to 1 (all)")
    return share


def _flag(value: object) -> bool:
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if str(value).lower() not in words:
        raise ValueError("true or false")
    return words[str(value).lower()]


def _one_of(*words: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in words:
            raise ValueError("one of " + ", ".join(words))
        return str(value)

    return parse


def _list(value: object) -> list[Any]:
    if isinstance(value, str):
        value = json.loads(value) if value.startswith("[") else [part.strip() for part in value.split(",") if part]
    if not isinstance(value, list):
        raise ValueError("a list")
    return value


def _token(value: object) -> str:
    text = _text(value)
    if text and not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text):
        raise ValueError("a word of letters, digits, - and _")
    return text


def _subject(value: object) -> str:
    text = _text(value)
    if not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", text) or len(text) > 100:
        raise ValueError("a NATS subject without wildcards, such as _INBOX_kitchen")
    return text


def _patterns(value: object) -> tuple[str, ...]:
    try:
        return tuple(check_pattern(pattern) for pattern in _list(value))
    except InvalidSubject as error:
        raise ValueError(f"a list of subject patterns ({error})") from None


def _nats_patterns(value: object) -> tuple[str, ...]:
    try:
        return tuple(check_nats_subject(pattern, pattern=True) for pattern in _list(value))
    except InvalidSubject as error:
        raise ValueError(f"a list of NATS subjects such as services.> ({error})") from None


def _regexes(value: object) -> tuple[str, ...]:
    found = _list(value)
    for pattern in found:
        try:
            re.compile(pattern)
        except (re.error, TypeError) as error:
            raise ValueError(f"a list of regular expressions ({pattern!r}: {error})") from None
    return tuple(found)


def _timezone(value: object) -> str:
    try:
        return ZoneInfo(_text(value)).key
    except (KeyError, ValueError, OSError):
        raise ValueError("an IANA time zone such as Europe/Berlin or UTC") from None


def _names(value: object) -> tuple[str, ...]:
    return tuple(_text(name) for name in _list(value))


def _capture_rules(value: object) -> tuple[tuple[str, str], ...]:
    rules = []
    for rule in _list(value):
        if not isinstance(rule, dict) or set(rule) != {"subjects", "mode"} or rule["mode"] not in CAPTURE_MODES:
            raise ValueError('a list of {subjects = "<pattern>", mode = "metadata" or "payload"}')
        rules.append((_patterns([rule["subjects"]])[0], rule["mode"]))
    return tuple(rules)


@dataclass(frozen=True)
class Setting:
    """One row of the registry: how a setting is named, read and explained."""

    name: str
    default: Any
    parse: Callable[[object], Any]
    help: str


REGISTRY: tuple[Setting, ...] = (
    Setting("sidecar.url", "http://127.0.0.1:3104", _url("http", "https"), "Where plugin and CLI reach the sidecar."),
    Setting("sidecar.host", "127.0.0.1", _text, "Address the sidecar listens on. Beyond loopback only if you say so."),
    Setting("sidecar.port", 3104, _port, "Port the sidecar listens on."),
    Setting("sidecar.max_connections", 512, _whole, "Open HTTP connections; for one more a stranger's is closed."),
    Setting("gateway.url", "http://127.0.0.1:18789", _url("http", "https"), "Where the OpenClaw Gateway listens."),
    Setting("gateway.public_url", "", _url("http", "https"), "Where people's browsers reach it; empty: gateway.url."),
    Setting("gateway.hook_token_file", "", _text, "File with OpenClaw's hooks.token (default: `hook-token` beside)."),
    Setting(
        "gateway.hooks_path", "/hooks", _path, "OpenClaw's hooks.path: below it the Gateway takes turns over HTTP."
    ),
    Setting(
        "gateway.certificate_file", "", _text, "PEM file with the Gateway's own certificate; only that one is taken."
    ),
    Setting("gateway.id", "", _text, "Name of this Gateway in events; empty means the host's name."),
    Setting("nats.url", "nats://127.0.0.1:4222", _url("nats", "tls", "ws", "wss"), "NATS servers, comma-separated."),
    Setting("nats.managed", True, _flag, "Whether `up` runs nats-server itself. `setup --nats-url` turns it off."),
    Setting("nats.user", "", _text, "User name at NATS (a managed server gets `openclaw-nats`)."),
    Setting("nats.password_file", "", _text, "File (0600) with the password for nats.user."),
    Setting("nats.credentials_file", "", _text, "NATS credentials file (.creds) for an existing NATS."),
    Setting("nats.nkey_seed_file", "", _text, "File (0600) with the seed of a user's nkey, for an existing NATS."),
    Setting("nats.tls_ca_file", "", _text, "PEM file with the private CA of an existing NATS."),
    Setting("nats.domain", "", _token, "JetStream domain of the streams, when NATS is reached by a leaf node."),
    Setting("nats.inbox_prefix", "_INBOX", _subject, "Answers come on subjects below it; each user its own."),
    Setting(
        "durability", "always", _one_of("always", "interval"), "Managed nats-server: fsync each ack, or every 2 m."
    ),
    Setting("stream.max_age", "7d", parse_duration, "How long the stream keeps events."),
    Setting("stream.max_bytes", "4GiB", parse_size, "How large the stream may grow; then the oldest go first."),
    Setting("stream.duplicate_window", "10m", parse_duration, "Within this time one id is stored once."),
    Setting("stream.replicas", 1, _whole, "Copies of the stream in a NATS cluster."),
    Setting("stream.change_adopted", False, _flag, "Whether stream.* also change a stream that somebody else made."),
    Setting("capture.default", "metadata", _one_of(*CAPTURE_MODES), "metadata: no content. payload: prompts, text, …"),
    Setting("capture.rules", (), _capture_rules, "Exceptions; the first whose subjects match decides."),
    Setting("filter.allow", (EVERYTHING,), _patterns, "Only events on these subjects leave the Gateway."),
    Setting("filter.block", (), _patterns, "Events on these subjects never leave the Gateway; stronger than allow."),
    Setting("redaction.enabled", True, _flag, "Replace secrets in event data by [redacted] before they are stored."),
    Setting(
        "redaction.patterns",
        (),
        _regexes,
        "Further regular expressions whose matches are secrets; `config set` tries them.",
    ),
    Setting("redaction.keys", (), _names, "Further names of fields whose text is secret."),
    Setting("spool.max_bytes", "256MiB", parse_size, "Disk that the plugin may use while the sidecar is away."),
    Setting(
        "delivery.way", "auto", _one_of("auto", "plugin", "hooks"), "To the Gateway by its plugin, or /hooks/agent."
    ),
    Setting("delivery.run_timeout", "30m", parse_duration, "How long an agent's turn may take."),
    Setting("delivery.max_text", "100KiB", parse_size, "Longest text of one turn; what is over it goes into the next."),
    Setting("delivery.max_hops", 3, _whole, "Loop guard: how many deliveries deep an event may still wake agents."),
    Setting("budget.turns_per_hour", 60, _whole, "Agent turns in an hour, all routes together; then events wait."),
    Setting("budget.turns_per_day", 500, _whole, "Agent turns in a day, all routes together; then events wait."),
    Setting("budget.route_turns_per_hour", 30, _whole, "Agent turns in an hour for one route; then its events wait."),
    Setting("schedules.timezone", "UTC", _timezone, "Time zone of cron jobs that name none."),
    Setting("agents.tools", True, _flag, "Whether agents may use the tools nats_*."),
    Setting("agents.publish", (EVERYTHING,), _patterns, "Subjects for agents; those of the Gateway itself never are."),
    Setting("agents.publishes_per_minute", 60, _whole, "Events that one agent may publish in a minute."),
    Setting("agents.read", "own", _one_of("own", "all"), "nats_events: own sessions and outside events, or all."),
    Setting("agents.max_subscriptions", 20, _whole, "Routes that one agent may have; each wakes only itself."),
    Setting("agents.subscription_turns_per_hour", 12, _whole, "Turns in an hour for one route of an agent's."),
    Setting("agents.subscription_expires", "30d", parse_duration, "An agent's route ends after this at the latest."),
    Setting(
        "agents.budget_share", 0.5, _share, "Part of each turn budget that agents' routes together may use: 0 to 1."
    ),
    Setting("agents.max_schedules", 20, _whole, "Cron jobs and timers that one agent may have."),
    Setting("agents.min_interval", "1m", parse_duration, "Shortest time between two runs of an agent's cron job."),
    Setting("agents.request_subjects", (), _nats_patterns, "Subjects for nats_request; empty: it is off."),
    Setting("inbox.keep", "30d", parse_duration, "How long receipts and dead letters are kept."),
    Setting(
        "inbox.max_bytes",
        "1GiB",
        _inbox_size,
        "Disk that the inbox may use, 16MiB or more: then the oldest receipts go, dead letters last, never what waits.",
    ),
    Setting("dashboard.session_expires", "7d", parse_duration, "How long a browser stays signed in to the dashboard."),
    Setting(
        "otel.endpoint",
        "",
        _url("http", "https"),
        "Runs go there as OTLP spans; empty: off. Needs openclaw-nats[otel].",
    ),
    Setting("compat", True, _flag, "Whether scripts for @omnixal/openclaw-nats-plugin find its paths and answers."),
    Setting("log.level", "info", _one_of("debug", "info", "warning", "error"), "How much the sidecar logs."),
)
NATS_NKEY = "nats-nkey"  # in the state directory: the seed of our own user at a managed nats-server
API_KEY_VARIABLE = "NATS_PLUGIN_API_KEY"
HOOK_TOKEN_VARIABLE = "OPENCLAW_HOOK_TOKEN"  # noqa: S105  (a name)
_BY_NAME = {setting.name: setting for setting in REGISTRY}


def variable_of(name: str) -> str:
    """The environment variable of a setting: `stream.max_age` → `OPENCLAW_NATS_STREAM_MAX_AGE`."""
    return "OPENCLAW_NATS_" + name.replace(".", "_").upper()


@dataclass(frozen=True)
class Settings:
    """All settings of one installation, parsed: durations in seconds, sizes in bytes."""

    home: Path
    values: Mapping[str, Any]
    origins: Mapping[str, str]
    notes: tuple[str, ...] = ()  # variables in the environment that are not used, and why

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def shown(self, name: str) -> Any:
        """A setting as it is written: durations and sizes with their units, lists as lists."""
        value = self.values[name]
        if _BY_NAME[name].parse is parse_duration:
            return format_duration(value)
        if _BY_NAME[name].parse is parse_size:
            return format_size(value)
        return list(value) if isinstance(value, tuple) else value

    @property
    def gateway_id(self) -> str:
        """The Gateway's name in events."""
        return str(self["gateway.id"]) or re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname()) or "gateway"

    @property
    def gateway_page(self) -> str:
        """The address of the Gateway for people's browsers."""
        return str(self["gateway.public_url"] or self["gateway.url"])

    @property
    def api_key_file(self) -> Path:
        """Where the API key lies, mode 0600."""
        return self.home / "api-key"

    def api_key(self) -> str:
        """The API key; raise SettingsError if there is none, so that nothing ever runs without one."""
        key = os.environ.get(API_KEY_VARIABLE, "").strip() or _read(self.api_key_file)
        if len(key) < 16:
            raise NotSetUp(
                f"no API key: {self.api_key_file} is missing or its key is shorter than 16 characters",
                hint="Run `openclaw-nats setup`, which makes one.",
            )
        return key

    def nats_password(self) -> str:
        """The password for `nats.user`, from its file; empty if none is set."""
        path = self["nats.password_file"]
        return _read(Path(path)) if path else ""

    def hook_token(self) -> str:
        """OpenClaw's `hooks.token`, read anew each time, since it may be set right while we run; empty without one."""
        path = self["gateway.hook_token_file"] or self.home / "hook-token"
        return os.environ.get(HOOK_TOKEN_VARIABLE, "").strip() or _read(Path(path))

    def for_plugin(self) -> dict[str, Any]:
        """What the plugin needs to know, as it stands in `plugin.json`. Holds no secret."""
        return {
            "sidecarUrl": self["sidecar.url"],
            "gatewayId": self.gateway_id,
            "capture": {
                "default": self["capture.default"],
                "rules": [{"subjects": subjects, "mode": mode} for subjects, mode in self["capture.rules"]],
            },
            "filter": {"allow": list(self["filter.allow"]), "block": list(self["filter.block"])},
            "spoolMaxBytes": self["spool.max_bytes"],
        }


def load(
    home: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    also: Mapping[str, str] = MappingProxyType({}),
) -> Settings:
    """Read `config.toml` in `home` (default `$OPENCLAW_STATE_DIR/nats`) and the environment; raise SettingsError.

    `also` are settings as texts which are taken as if they stood in that file: how it would be once they are saved.
    """
    home = home or state_dir(environment) / "nats"
    path = home / "config.toml"
    raw: dict[str, tuple[Any, str]] = {setting.name: (setting.default, "default") for setting in REGISTRY}
    for name, value in _flatten(_toml(path)).items():
        if name not in _BY_NAME:
            raise SettingsError(f"{path}: there is no setting {name!r}", hint=nearest(name))
        raw[name] = (value, str(path))
    raw |= {name: (check_value(name, text), str(path)) for name, text in also.items()}
    for name in raw:
        if (given := environment.get(variable_of(name))) is not None:
            raw[name] = (given, variable_of(name))
    own = {name: variable_of(name) for name in raw}
    notes = foreign_variables.apply(raw, environment, own, nats=_nats_chosen(raw, home))
    values = {name: _parse(name, value, origin) for name, (value, origin) in raw.items()}
    return Settings(home, values, {name: origin for name, (_, origin) in raw.items()}, tuple(notes))


def _nats_chosen(raw: dict[str, tuple[Any, str]], home: Path) -> str:
    """Which NATS was chosen, in words that begin a reason; empty while none was.

    One of ours by `nats.managed`, or (by an older `up`) by its password's file; another one by `nats.managed = false`
    with an address.
    """
    managed, origin = raw["nats.managed"]
    ours = _parse("nats.managed", managed, origin) is True
    chosen = origin != "default" or raw["nats.password_file"][0] == str(home / "nats-password")
    if ours:
        return "nats.managed is true, so it is the nats-server that we run which counts" if chosen else ""
    return "nats.url says which NATS was chosen" if chosen and raw["nats.url"][1] != "default" else ""


def check_value(name: str, text: str) -> Any:
    """Parse one setting given as text, as `config set` takes it; return what belongs into TOML."""
    if name not in _BY_NAME:
        raise SettingsError(f"there is no setting {name!r}", hint=nearest(name))
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    _parse(name, value, "the command line")
    return value


def parsed_value(name: str, text: str) -> Any:
    """The value of one setting given as text, as `load` would have it; raise SettingsError."""
    return _parse(name, check_value(name, text), "the command line")


def _parse(name: str, value: Any, origin: str) -> Any:
    setting = _BY_NAME[name]
    if origin == "default" and not isinstance(value, str):
        return value
    try:
        return setting.parse(value)
    except (ValueError, TypeError) as error:
        raise SettingsError(f"{name} is {value!r} (from {origin}), but must be {error}") from None


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path} is not valid TOML: {error}", hint="Mend that line, or move the file away."
        ) from None
    except OSError as error:
        raise SettingsError(f"{path} can't be read: {error.strerror}") from None


def _flatten(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat.update(_flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value})
    return flat


def nearest(name: str) -> str:
    """A hint for a setting that does not exist."""
    return did_you_mean(name, _BY_NAME, "`openclaw-nats config` lists all of them.")


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
