"""The streams: created when they are missing, adopted when they exist, put right when somebody changed them.

An adopted stream is only ever widened (a longer deduplication window, atomic batches allowed): what its owner chose for
age, size, replicas or further subjects stays, as long as `stream.change_adopted` does not say otherwise.
"""

from __future__ import annotations

from typing import Any

import structlog

from openclaw_nats.errors import StreamConflict, Unavailable
from openclaw_nats.events.subjects import EVERYTHING
from openclaw_nats.jetstream.connection import Connection
from openclaw_nats.jetstream.room import no_room, refused_for_room
from openclaw_nats.jetstream.servers import Server, Servers, version_tuple
from openclaw_nats.jetstream.stream_clock import StreamClock
from openclaw_nats.jetstream.stream_settings import StreamSettings, limits
from openclaw_nats.settings import Settings

log = structlog.get_logger(__name__)

EVENTS = "agent_events"
DEAD_LETTERS = "agent_dlq"
DEAD_LETTER_SUBJECTS = "agent.dlq.>"
SCHEDULES = "agent_schedules"
SCHEDULE_SUBJECTS = "agent.schedules.>"
LEASES = "agent_leases"
LEASE_SUBJECTS = "agent.leases.>"
FIRED = "agent.schedules.fired.*.*.*.>"
_DEAD_LETTER_AGE = 30 * 86400
_LEASE_BYTES = 16 << 20
_SCHEDULE_BYTES = 512 << 20  # jobs, and the last 100 ticks of each with its payload
_NEARLY_FULL = 0.8
_NOT_FOUND = 10059
_TOO_MANY_STREAMS = 10027
_ATOMIC_SINCE = (2, 12)


def supports_atomic(version: str) -> bool:
    """Whether a server of this version can take atomic batches (nats-server 2.12)."""
    return version_tuple(version) >= _ATOMIC_SINCE


def schedules_problem(server: Server) -> str:
    """Why schedules can't be used where this server may lead; empty when they can.

    2.12.7 and 2.12.8, run here, store what is due but refuse to pass it on to another stream; 2.12.6 and 2.14.0 do.
    """
    if server.number < (2, 12):
        version = server.version or "not known yet"
        return f"schedules need nats-server 2.12 or newer, {server.name or 'this one'} is {version}"
    if (2, 12, 7) <= server.number < (2, 14):
        where = f" ({server.name})" if server.name else ""
        return f"nats-server {server.version}{where} does not pass on what schedules fire: 2.14 does"
    return ""


class Streams:
    """Keeps both streams as they must be; `atomic` says whether the events stream takes atomic batches."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        self._applied = StreamSettings(settings)
        self.servers = Servers(connection)
        self.clock = StreamClock()
        self.atomic = False
        self.problem = ""
        self.schedules_problem = "not connected to NATS yet"
        self.leases_problem = ""
        self._nearly_full = ""

    async def ensure(self) -> None:
        """Create, adopt or put right the streams; raise StreamConflict or Unavailable."""
        await self.servers.look()
        self.schedules_problem = schedules_problem(self.servers.oldest)
        try:
            if not self.schedules_problem:
                await self._ensure(self._schedules_config())
            events = await self._ensure(self._events_config())
            await self._ensure(self._dead_letters_config())
            await self._ensure_leases()
        except StreamConflict as error:
            self.problem = f"{error} {error.hint}".strip()
            raise
        self.schedules_problem = schedules_problem(self.servers.oldest)  # by now it is known who leads
        self.atomic = bool(events.get("allow_atomic")) and supports_atomic(self.servers.oldest.version)
        self.problem = ""

    @property
    def notes(self) -> list[str]:
        """What is not as it should be, one line each: settings `stream.*`, versions of servers, clocks."""
        oldest, versions = self.servers.oldest, self.servers.versions
        found = list(self._applied.notes)
        if oldest.number != (0, 0, 0) and not supports_atomic(oldest.version):
            found.append(f"nats-server {oldest.version} is older than 2.12: slower")
        if len(versions) > 1:
            shown = "; ".join(f"{version}: {', '.join(names)}" for version, names in versions.items())
            found.append(f"the servers of this NATS have several versions ({shown}): what one can't do, none does")
        return [*found, *(text for text in (self._nearly_full, self.clock.note) if text)]

    async def state(self) -> dict[str, Any]:
        """Messages, bytes, first and last sequence of the events stream."""
        answer = await self.info()
        state: dict[str, Any] = answer["state"]
        state["sources"] = answer.get("sources") or []
        return state

    async def info(self) -> dict[str, Any]:
        """State and configuration of the events stream, as STREAM.INFO gives them."""
        answer = await self._info(EVENTS)
        if "error" in answer:
            raise Unavailable(_describe(answer["error"], EVENTS))
        return answer

    async def last_sequence(self) -> int:
        """The last sequence of the events stream."""
        return int((await self.state())["last_seq"])

    async def subject_counts(self) -> dict[str, int]:
        """How many messages each subject of the events stream has; the server lists 100,000 subjects at a time."""
        found: dict[str, int] = {}
        while True:
            query = {"subjects_filter": EVERYTHING, "offset": len(found)}
            answer = await self._connection.api(f"STREAM.INFO.{EVENTS}", query)
            if "error" in answer:
                raise Unavailable(_describe(answer["error"], EVENTS))
            page = answer["state"].get("subjects") or {}
            found |= page
            if not page or len(found) >= answer.get("total", 0):
                return found

    async def _ensure_leases(self) -> None:
        """Without this stream a second sidecar of one gateway.id is not noticed; everything else works."""
        try:
            await self._ensure(self._leases_config())
            self.leases_problem = ""
        except StreamConflict as error:
            self.leases_problem = str(error)

    async def _ensure(self, wanted: dict[str, Any]) -> dict[str, Any]:
        name = wanted["name"]
        answer = await self._info(name)
        if "error" in answer:
            if answer["error"].get("err_code") != _NOT_FOUND:
                raise Unavailable(_describe(answer["error"], name))
            return await self._write("CREATE", wanted)
        found: dict[str, Any] = answer["config"]
        self.servers.leads(name, found)
        if name == SCHEDULES:
            self._look_at_size(found.get("max_bytes", -1), answer["state"]["bytes"])
        changed = _widen(found, wanted)
        if changed != found:
            log.info("stream.adopted", stream=name, changed=_difference(found, changed))
            found = await self._write("UPDATE", changed)
        return await self._apply_settings(found, wanted)

    async def _apply_settings(self, found: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
        """What the operator set, on a stream that exists. What the server refuses is noted, and stops nothing."""
        name = wanted["name"]
        for changed in self._applied.changes(found, wanted):
            difference = _difference(found, changed)
            try:
                found = await self._write("UPDATE", changed)
                log.info("stream.changed", stream=name, changed=difference)
            except (StreamConflict, Unavailable) as error:
                self._applied.refused(name, str(error))
                log.warning("stream.change_refused", stream=name, changed=difference, error=str(error))
        self._applied.checked(found, wanted)
        return found

    def _look_at_size(self, most: int, used: int) -> None:
        """Of the schedules stream: what is over its size takes the oldest message with it, which may be a job."""
        full = most > 0 and used > most * _NEARLY_FULL
        text = f"stream {SCHEDULES} uses {used >> 20} of {most >> 20} MiB: over that, the oldest cron jobs are lost. "
        self._nearly_full = f"{text}Remove jobs, or raise its max_bytes (`nats stream edit`)" if full else ""

    async def _info(self, name: str) -> dict[str, Any]:
        asked = self.clock.asked()
        answer = await self._connection.api(f"STREAM.INFO.{name}")
        if name == EVENTS:
            self.clock.heard(answer, asked)
        return answer

    async def _write(self, operation: str, config: dict[str, Any]) -> dict[str, Any]:
        answer = await self._connection.api(f"STREAM.{operation}.{config['name']}", config)
        if "error" in answer:
            text = _describe(answer["error"], config["name"])
            if refused_for_room(answer["error"]):
                raise await self._no_room(text, config)
            if answer["error"].get("code") == 503:
                raise Unavailable(text)
            if answer["error"].get("err_code") == _TOO_MANY_STREAMS:
                raise StreamConflict(text, hint="openclaw-nats needs four streams: raise the account's max_streams.")
            raise StreamConflict(text, hint="`nats stream info` shows it; rename it, or change it by hand.")
        if operation == "CREATE":
            log.info("stream.created", stream=config["name"])
        written: dict[str, Any] = answer["config"]
        self.servers.leads(config["name"], written)
        return written

    async def _no_room(self, text: str, config: dict[str, Any]) -> StreamConflict:
        """The refusal of a stream for want of room, with what to do."""
        reserved = {name: 0 for name in (EVENTS, DEAD_LETTERS, SCHEDULES, LEASES)}
        for name in reserved:
            found = await self._info(name)
            if "config" in found:
                reserved[name] = max(0, int(found["config"].get("max_bytes", 0))) * found["config"]["num_replicas"]
        try:
            account = await self._connection.api("INFO")
        except Unavailable:
            account = {}  # what the account has is not known: the refusal is said all the same
        wanted = [self._events_config(), self._dead_letters_config(), self._leases_config()]
        if not self.schedules_problem:
            wanted.append(self._schedules_config())
        return no_room(text, config, wanted, reserved, account)

    def _events_config(self) -> dict[str, Any]:
        config = {
            **_base(EVENTS, EVERYTHING),
            **limits(self._settings),
            "num_replicas": self._settings.stream.replicas,
            "description": "Events of OpenClaw Gateways",
        }
        if supports_atomic(self.servers.oldest.version):
            config["allow_atomic"] = True
        if not self.schedules_problem:
            transform = {"src": FIRED, "dest": EVERYTHING}
            config["sources"] = [{"name": SCHEDULES, "subject_transforms": [transform]}]
        return config

    def _schedules_config(self) -> dict[str, Any]:
        return {
            **_base(SCHEDULES, SCHEDULE_SUBJECTS),
            "max_msgs_per_subject": 1,
            "max_bytes": _SCHEDULE_BYTES,  # JetStream knows no schedules with `discard` new: `notes` warn in time
            "allow_msg_schedules": True,
            "allow_msg_ttl": True,
            "num_replicas": self._settings.stream.replicas,
            "description": "Cron jobs and timers, and when they fired",
        }

    def _leases_config(self) -> dict[str, Any]:
        return {
            **_base(LEASES, LEASE_SUBJECTS),
            "max_msgs_per_subject": 1,
            "max_bytes": _LEASE_BYTES,
            "discard": "new",
            "num_replicas": self._settings.stream.replicas,
            "description": "Which sidecar works under which gateway.id",
        }

    def _dead_letters_config(self) -> dict[str, Any]:
        return {
            **_base(DEAD_LETTERS, DEAD_LETTER_SUBJECTS),
            "max_age": int(_DEAD_LETTER_AGE * 1e9),
            "max_bytes": min(self._settings.stream.max_bytes or 1 << 30, 1 << 30),
            "num_replicas": self._settings.stream.replicas,
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
            hint="Remove it (its events are lost), then restart openclaw-nats, which makes it again on disk.",
        )
    changed = dict(found)
    subject = wanted["subjects"][0]
    if subject not in found.get("subjects", []) and ">" not in found.get("subjects", []):
        covered = subject.removesuffix(">")
        changed["subjects"] = [s for s in found.get("subjects", []) if not s.startswith(covered)] + [subject]
    if wanted.get("duplicate_window", 0) > found.get("duplicate_window", 0):
        changed["duplicate_window"] = wanted["duplicate_window"]
    for flag in ("allow_atomic", "allow_msg_schedules", "allow_msg_ttl"):
        if wanted.get(flag):
            changed[flag] = True
    if "max_msgs_per_subject" in wanted:
        changed["max_msgs_per_subject"] = wanted["max_msgs_per_subject"]
    sources = list(found.get("sources") or [])
    names = {source["name"] for source in sources}
    if missing := [source for source in wanted.get("sources", []) if source["name"] not in names]:
        changed["sources"] = sources + missing
    return changed


def _difference(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return sorted(key for key in after if after[key] != before.get(key))


def _describe(error: dict[str, Any], name: str) -> str:
    return f"stream {name}: {error.get('description', 'unknown error')} (JetStream error {error.get('err_code', 0)})"
