"""The declaration of every setting: durations in seconds, sizes in bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from openclaw_nats.events.subjects import EVERYTHING
from openclaw_nats.settings.declaring import (
    AT_CREATION,
    AT_NATS_START,
    AT_ONCE_AND_DELIVERIES,
    AT_ONCE_AND_PLUGIN,
    AT_PLUGIN,
    AT_START_OURS,
    AT_START_WIDENED,
    AT_UP_START,
    setting,
)
from openclaw_nats.settings.kinds import (
    AMOUNT,
    CAPTURE_RULES,
    DURATION,
    FLAG,
    HTTP_URL,
    INBOX_SIZE,
    NAMES,
    NATS_PATTERNS,
    NATS_URLS,
    PATTERNS,
    PORT,
    PORT_OR_OFF,
    PRICES,
    REGEXES,
    SHARE,
    SIZE,
    SUBJECT,
    TEXT,
    TIMEZONE,
    TOKEN,
    URL_PATH,
    WHOLE,
    one_of,
)


@dataclass(frozen=True)
class Sidecar:
    """The sidecar: where it listens."""

    url: str = setting(
        HTTP_URL,
        "http://127.0.0.1:3104",
        "Where plugin and CLI reach the sidecar.",
        applies=AT_ONCE_AND_PLUGIN,
        also="NATS_SIDECAR_URL",
    )
    host: str = setting(
        TEXT, "127.0.0.1", "Address the sidecar listens on. Beyond loopback it needs TLS, or your word."
    )
    port: int = setting(PORT, 3104, "Port the sidecar listens on.")
    tls_certificate: str = setting(TEXT, "", "PEM file with the sidecar's certificate and its chain: TLS at its port.")
    tls_key: str = setting(TEXT, "", "PEM file (0600) with the key of sidecar.tls_certificate, without a pass phrase.")
    tls_proxy: str = setting(
        HTTP_URL, "", "Address of your TLS proxy in front of the sidecar: it may leave loopback then."
    )
    plain_http: bool = setting(FLAG, False, "Whether the sidecar may leave loopback without TLS.")
    max_connections: int = setting(WHOLE, 512, "Open HTTP connections; for one more a stranger's is closed.")


@dataclass(frozen=True)
class Gateway:
    """The OpenClaw Gateway."""

    url: str = setting(
        HTTP_URL,
        "http://127.0.0.1:18789",
        "Where the OpenClaw Gateway listens.",
        applies=AT_ONCE_AND_DELIVERIES,
        also="OPENCLAW_GATEWAY_URL",
    )
    public_url: str = setting(HTTP_URL, "", "Where people's browsers reach it; empty: gateway.url.")
    hook_token_file: str = setting(TEXT, "", "File with OpenClaw's hooks.token (default: `hook-token`).")
    hooks_path: str = setting(URL_PATH, "/hooks", "OpenClaw's hooks.path: below it the Gateway takes turns over HTTP.")
    certificate_file: str = setting(TEXT, "", "PEM file with the Gateway's own certificate; only that one is taken.")
    id: str = setting(TEXT, "", "Name of this Gateway in events; empty means the host's name.")


@dataclass(frozen=True)
class Nats:
    """The connection to NATS."""

    url: str = setting(NATS_URLS, "nats://127.0.0.1:4222", "NATS servers, comma-separated.", also="NATS_SERVERS")
    managed: bool = setting(
        FLAG, True, "Whether `up` runs nats-server itself. `setup --nats-url` turns it off.", applies=AT_UP_START
    )
    user: str = setting(TEXT, "", "User name at NATS (a managed server gets `openclaw-nats`).")
    password_file: str = setting(TEXT, "", "File (0600) with the password for nats.user.")
    credentials_file: str = setting(TEXT, "", "NATS credentials file (.creds) for an existing NATS.")
    nkey_seed_file: str = setting(TEXT, "", "File (0600) with the seed of a user's nkey, for an existing NATS.")
    tls_ca_file: str = setting(TEXT, "", "PEM file with the private CA of an existing NATS.")
    domain: str = setting(TOKEN, "", "JetStream domain of the streams, when NATS is reached by a leaf node.")
    inbox_prefix: str = setting(SUBJECT, "_INBOX", "Answers come on subjects below it; each user its own.")


@dataclass(frozen=True)
class Receiver:
    """`openclaw-nats receive` on another machine, for a house behind NAT."""

    key: str = setting(TOKEN, "", "Name of the limited key with which a receiver elsewhere hands events over.")
    url: str = setting(NATS_URLS, "", "Where the sidecar hears it: the nats-server of the house that dials it.")
    user: str = setting(TEXT, "", "User name there, in the account of the link to the receiver.")
    password_file: str = setting(TEXT, "", "File (0600) with the password for receiver.user.")


@dataclass(frozen=True)
class Mqtt:
    """MQTT at the nats-server that we run."""

    port: int = setting(
        PORT_OR_OFF, 0, "Port on which the managed nats-server speaks MQTT; 0: off.", applies=AT_NATS_START
    )
    host: str = setting(
        TEXT,
        "127.0.0.1",
        "Address for MQTT. Beyond loopback it needs sidecar.tls_certificate, or your word.",
        applies=AT_NATS_START,
    )
    plain: bool = setting(FLAG, False, "Whether MQTT may leave loopback without TLS.", applies=AT_NATS_START)
    home_assistant: bool = setting(
        FLAG, False, "Whether Home Assistant finds the agents by MQTT. Needs openclaw-nats[mqtt]."
    )


@dataclass(frozen=True)
class Stream:
    """The stream of events."""

    max_age: float = setting(DURATION, "7d", "How long the stream keeps events.", applies=AT_START_OURS)
    max_bytes: int = setting(
        SIZE, "4GiB", "How large the stream may grow; then the oldest go first.", applies=AT_START_OURS
    )
    duplicate_window: float = setting(
        DURATION, "10m", "Within this time one id is stored once.", applies=AT_START_WIDENED
    )
    replicas: int = setting(WHOLE, 1, "Copies of the stream in a NATS cluster.", applies=AT_START_OURS)
    change_adopted: bool = setting(FLAG, False, "Whether stream.* also change a stream that somebody else made.")


@dataclass(frozen=True)
class Capture:
    """How much of an event leaves the Gateway."""

    default: Literal["metadata", "payload"] = setting(
        one_of("metadata", "payload"), "metadata", "metadata: no content. payload: prompts, text, …", applies=AT_PLUGIN
    )
    rules: tuple[tuple[str, str], ...] = setting(
        CAPTURE_RULES, (), "Exceptions; the first whose subjects match decides.", applies=AT_PLUGIN
    )


@dataclass(frozen=True)
class Filter:
    """Which events leave the Gateway."""

    allow: tuple[str, ...] = setting(
        PATTERNS, (EVERYTHING,), "Only events on these subjects leave the Gateway.", applies=AT_PLUGIN
    )
    block: tuple[str, ...] = setting(
        PATTERNS, (), "Events on these subjects never leave the Gateway; stronger than allow.", applies=AT_PLUGIN
    )


@dataclass(frozen=True)
class Redaction:
    """What is taken for a secret."""

    enabled: bool = setting(FLAG, True, "Replace secrets in event data by [redacted] before they are stored.")
    patterns: tuple[str, ...] = setting(
        REGEXES, (), "Further regular expressions whose matches are secrets; `config set` tries them."
    )
    keys: tuple[str, ...] = setting(NAMES, (), "Further names of fields whose text is secret.")


@dataclass(frozen=True)
class Spool:
    """The plugin's buffer on disk."""

    max_bytes: int = setting(
        SIZE, "256MiB", "Disk that the plugin may use while the sidecar is away.", applies=AT_PLUGIN
    )


@dataclass(frozen=True)
class Delivery:
    """How events reach agents."""

    way: Literal["auto", "plugin", "hooks"] = setting(
        one_of("auto", "plugin", "hooks"), "auto", "To the Gateway by its plugin, or /hooks/agent."
    )
    run_timeout: float = setting(DURATION, "30m", "How long an agent's turn may take.")
    max_text: int = setting(SIZE, "100KiB", "Longest text of one turn; the rest goes into the next.")
    max_hops: int = setting(WHOLE, 3, "Loop guard: how many dispatches deep an event may still wake agents.")


@dataclass(frozen=True)
class Budget:
    """How many turns may be started."""

    turns_per_hour: int = setting(WHOLE, 60, "Agent turns in an hour, all routes together; then events wait.")
    turns_per_day: int = setting(WHOLE, 500, "Agent turns in a day, all routes together; then events wait.")
    route_turns_per_hour: int = setting(WHOLE, 30, "Agent turns in an hour for one route; then its events wait.")
    replay_turns_per_hour: int = setting(
        WHOLE, 20, "Agent turns in an hour for all replays together, in place of each route's limit; then they wait."
    )
    cost_per_day: float = setting(
        AMOUNT, 0.0, "What turns may cost in a day, all routes together; then events wait. 0: no limit."
    )
    prices: tuple[tuple[str, tuple[tuple[str, float], ...]], ...] = setting(
        PRICES, (), "Prices of a million tokens, for models whose cost is not reported."
    )
    reserve: float = setting(
        SHARE, 0.1, "Part of the budgets for all that is kept for your routes with priority 9 or 10: 0 to 1."
    )


@dataclass(frozen=True)
class Schedules:
    """Cron jobs and timers."""

    timezone: str = setting(TIMEZONE, "UTC", "Time zone of cron jobs that name none.", applies=AT_CREATION)


@dataclass(frozen=True)
class Agents:
    """What agents may do with the bus."""

    tools: bool = setting(FLAG, True, "Whether agents may use the tools nats_*.")
    publish: tuple[str, ...] = setting(
        PATTERNS, (EVERYTHING,), "Subjects for agents; those of the Gateway itself never are."
    )
    publishes_per_minute: int = setting(WHOLE, 60, "Events that one agent may publish in a minute.")
    read: Literal["own", "all"] = setting(
        one_of("own", "all"), "own", "nats_events: own sessions and outside events, or all."
    )
    max_subscriptions: int = setting(
        WHOLE, 20, "Routes that one agent may have; each wakes only itself.", applies=AT_CREATION
    )
    subscription_turns_per_hour: int = setting(
        WHOLE, 12, "Turns in an hour for one route of an agent's.", applies=AT_CREATION
    )
    subscription_expires: float = setting(
        DURATION, "30d", "An agent's route ends after this at the latest.", applies=AT_CREATION
    )
    budget_share: float = setting(SHARE, 0.5, "Part of each turn budget that agents' routes together may use: 0 to 1.")
    max_schedules: int = setting(WHOLE, 20, "Cron jobs and timers that one agent may have.", applies=AT_CREATION)
    min_interval: float = setting(
        DURATION, "1m", "Shortest time between two runs of an agent's cron job.", applies=AT_CREATION
    )
    request_subjects: tuple[str, ...] = setting(NATS_PATTERNS, (), "Subjects for nats_request; empty: it is off.")


@dataclass(frozen=True)
class Approvals:
    """Guarded calls that wait for the operator's answer."""

    keep: float = setting(DURATION, "7d", "How long a guarded call that was refused waits for your answer.")
    usable: float = setting(DURATION, "1h", "How long after your approval the call may begin.")


@dataclass(frozen=True)
class Inbox:
    """The sidecar's database."""

    keep: float = setting(DURATION, "30d", "How long receipts and dead letters are kept.")
    max_bytes: int = setting(
        INBOX_SIZE,
        "1GiB",
        "Disk that the inbox may use, 16MiB or more: then the oldest receipts go, dead letters last, never what waits.",
    )


@dataclass(frozen=True)
class Index:
    """The index of the stream."""

    max_bytes: int = setting(
        INBOX_SIZE, "1GiB", "Disk that the index of events may use, 16MiB or more; then its oldest go first."
    )


@dataclass(frozen=True)
class Dashboard:
    """The dashboard."""

    session_expires: float = setting(DURATION, "7d", "How long a browser stays signed in to the dashboard.")


@dataclass(frozen=True)
class Watchdog:
    """Expectations that are built in."""

    enabled: bool = setting(FLAG, True, "Report runs that are unusually long or do not end, and a silent Gateway.")


@dataclass(frozen=True)
class Otel:
    """Spans of runs."""

    endpoint: str = setting(HTTP_URL, "", "Runs go there as OTLP spans; empty: off. Needs openclaw-nats[otel].")


@dataclass(frozen=True)
class Log:
    """The sidecar's log."""

    level: Literal["debug", "info", "warning", "error"] = setting(
        one_of("debug", "info", "warning", "error"), "info", "How much the sidecar logs."
    )
