"""The streams: created when they are missing, adopted when they exist, put right when somebody changed them.

An adopted stream is only ever widened (a longer deduplication window, atomic batches allowed): what its owner chose for
age, size, replicas or further subjects stays.
"""

from __future__ import annotations

from typing import Any

import structlog

from openclaw_nats.errors import StreamConflict, Unavailable
from openclaw_nats.events.subjects import EVERYTHING
from openclaw_nats.jetstream.connection import Connection
from openclaw_nats.settings import Settings

log = structlog.get_logger(__name__)

EVENTS = "agent_events"
DEAD_LETTERS = "agent_dlq"
DEAD_LETTER_SUBJECTS = "agent.dlq.>"
_DEAD_LETTER_AGE = 30 * 86400
_NOT_FOUND = 10059
_ATOMIC_SINCE = (2, 12)


def version_tuple(version: str) -> tuple[int, int]:
    """(major, minor) of a server's version text; (0, 0) when it has none."""
    parts = version.lstrip("v").split(".")
    try:
        return int(parts[0]), int(parts[1])
    except (IndexError, ValueError):
        return 0, 0


def supports_atomic(version: str) -> bool:
    """Whether a server of this version can take atomic batches (nats-server 2.12)."""
    return version_tuple(version) >= _ATOMIC_SINCE


class Streams:
    """Keeps both streams as they must be; `atomic` tells whether the events stream takes atomic batches."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        self.atomic = False
        self.problem = ""

    async def ensure(self) -> None:
        """Create, adopt or put right both streams; raise StreamConflict or Unavailable."""
        try:
            events = await self._ensure(self._events_config())
            await self._ensure(self._dead_letters_config())
        except StreamConflict as error:
            self.problem = f"{error} {error.hint}".strip()
            raise
        self.atomic = bool(events.get("allow_atomic"))
        self.problem = ""

    async def state(self) -> dict[str, Any]:
        """Messages, bytes, first and last sequence of the events stream."""
        answer = await self._connection.api(f"STREAM.INFO.{EVENTS}")
        if "error" in answer:
            raise Unavailable(_describe(answer["error"], EVENTS))
        state: dict[str, Any] = answer["state"]
        return state

    async def _ensure(self, wanted: dict[str, Any]) -> dict[str, Any]:
        name = wanted["name"]
        answer = await self._connection.api(f"STREAM.INFO.{name}")
        if "error" in answer:
            if answer["error"].get("err_code") != _NOT_FOUND:
                raise Unavailable(_describe(answer["error"], name))
            return await self._write("CREATE", wanted)
        found: dict[str, Any] = answer["config"]
        changed = _widen(found, wanted)
        if changed == found:
            return found
        log.info(
            "stream.adopted", stream=name, changed=sorted(key for key in changed if changed[key] != found.get(key))
        )
        return await self._write("UPDATE", changed)

    async def _write(self, operation: str, config: dict[str, Any]) -> dict[str, Any]:
        answer = await self._connection.api(f"STREAM.{operation}.{config['name']}", config)
        if "error" in answer:
            text = _describe(answer["error"], config["name"])
            if answer["error"].get("code") == 503:
                raise Unavailable(text)
            raise StreamConflict(text, hint="`nats stream info` shows it; rename it, or change it by hand.")
        if operation == "CREATE":
            log.info("stream.created", stream=config["name"])
        written: dict[str, Any] = answer["config"]
        return written

    def _events_config(self) -> dict[str, Any]:
        config = {
            **_base(EVENTS, EVERYTHING),
            "max_age": int(self._settings["stream.max_age"] * 1e9),
            "max_bytes": self._settings["stream.max_bytes"],
            "duplicate_window": int(self._settings["stream.duplicate_window"] * 1e9),
            "num_replicas": self._settings["stream.replicas"],
            "description": "Events of OpenClaw Gateways",
        }
        if supports_atomic(self._connection.server_version):
            config["allow_atomic"] = True
        return config

    def _dead_letters_config(self) -> dict[str, Any]:
        return {
            **_base(DEAD_LETTERS, DEAD_LETTER_SUBJECTS),
            "max_age": int(_DEAD_LETTER_AGE * 1e9),
            "max_bytes": min(self._settings["stream.max_bytes"], 1 << 30),
            "num_replicas": self._settings["stream.replicas"],
            "description": "Events that could not be delivered",
        }


def _base(name: str, subjects: str) -> dict[str, Any]:
    return {
        "name": name,
        "subjects": [subjects],
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "max_msgs": -1,
        "max_consumers": -1,
    }


def _widen(found: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    name = wanted["name"]
    if found.get("retention", "limits") != "limits" or found.get("sealed") or found.get("mirror"):
        raise StreamConflict(
            f"stream {name} exists, but is a mirror, sealed, or a work queue: events would not stay in it",
            hint="Remove or rename it, then restart openclaw-nats.",
        )
    if found.get("storage") != "file":
        raise StreamConflict(
            f"stream {name} exists, but keeps its messages in memory: they would be lost with the server",
            hint="Remove it (its events are lost), then restart openclaw-nats, which makes it anew on disk.",
        )
    changed = dict(found)
    subject = wanted["subjects"][0]
    if subject not in found.get("subjects", []) and ">" not in found.get("subjects", []):
        covered = subject.removesuffix(">")
        changed["subjects"] = [s for s in found.get("subjects", []) if not s.startswith(covered)] + [subject]
    if wanted.get("duplicate_window", 0) > found.get("duplicate_window", 0):
        changed["duplicate_window"] = wanted["duplicate_window"]
    if wanted.get("allow_atomic"):
        changed["allow_atomic"] = True
    return changed


def _describe(error: dict[str, Any], name: str) -> str:
    return f"stream {name}: {error.get('description', 'unknown error')} (JetStream error {error.get('err_code', 0)})"
