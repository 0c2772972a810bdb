"""What a backup may hold: these names and no others, each with what its content has to be."""

from __future__ import annotations

from openclaw_nats.jetstream.streams import DEAD_LETTERS, EVENTS, SCHEDULES

MANIFEST = "manifest.json"
DATABASE = "sidecar.db"
# In the order in which they are put back: the events stream takes from the schedules.
STREAMS = (SCHEDULES, DEAD_LETTERS, EVENTS)
# Each with the largest size in bytes that is taken.
FILES = {
    "config.toml": 1 << 20,
    "api-key": 1 << 16,
    "limited-keys.json": 4 << 20,
    "sources.json": 4 << 20,
    "alerts.json": 4 << 20,
    "nats-password": 1 << 16,
    "hook-token": 1 << 16,
    "identity-key": 1 << 16,
    "audit-key": 1 << 16,
    "verify-key": 1 << 16,
    "setup.json": 1 << 20,
    "openclaw.json.before": 32 << 20,
    "migrate.json": 4 << 20,
}
MANIFEST_BYTES = 1 << 20
UNLIMITED = (DATABASE, *(f"{stream}.stream" for stream in STREAMS))


def stream_file(stream: str) -> str:
    """The name of a stream's file."""
    return f"{stream}.stream"


def limit_of(name: str) -> int | None:
    """The largest size in bytes of a part; None for one that only the disk limits. Raises KeyError for no part."""
    return None if name in UNLIMITED else FILES[name]
