"""The channels that there are: a file with their addresses and secrets, which the sidecar alone changes."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct

from openclaw_nats.alerts.deciding import Policy
from openclaw_nats.audit.act import Act
from openclaw_nats.audit.trail import Trail
from openclaw_nats.contract.alerts import AlertChannelChange, AlertChannelRequest
from openclaw_nats.contract.fields import Time
from openclaw_nats.contract.routes import WebhookTarget
from openclaw_nats.errors import Conflict, InvalidInput, NotFound, SettingsError, Unavailable
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.inbound.flow_policy import quiet_of
from openclaw_nats.inbound.target import compile_target
from openclaw_nats.record_file import read_records
from openclaw_nats.settings import parse_duration
from openclaw_nats.suggestions import did_you_mean
from openclaw_nats.url_secrets import host_of

log = structlog.get_logger(__name__)

MAX_CHANNELS = 20
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,30}[a-z0-9])?")
_LONGEST_WINDOW, _SHORTEST_AGAIN, _LONGEST_AGAIN = 3600.0, 60.0, 30 * 86400.0


class StoredChannel(Struct, rename="camel", kw_only=True):
    """A channel in the file `alerts.json`: as it was asked for, its address and secret included."""

    wanted: AlertChannelRequest
    made: Time
    paused: bool = False

    @property
    def name(self) -> str:
        """What it is called."""
        return self.wanted.name


class ChannelFile(Struct):
    """All channels of a state directory."""

    channels: list[StoredChannel]


_decode = msgspec.json.Decoder(ChannelFile).decode


def read(path: Path) -> list[StoredChannel]:
    """The channels in a file, none without one; raise SettingsError for what does not hold any."""
    return read_records(path, "channels", _checked)


def _checked(content: bytes) -> list[StoredChannel]:
    found = _decode(content).channels
    for one in found:
        check_channel(one.wanted)
    if len({one.name for one in found}) < len(found):
        raise ValueError("two channels have one name")
    return found


def check_channel(wanted: AlertChannelRequest) -> Policy:
    """How a channel wants to be told; raise InvalidInput for one that can't be."""
    if not _NAME.fullmatch(wanted.name):
        hint = "Up to 32 of a-z, 0-9, - and _, a letter or digit first and last."
        raise InvalidInput(f"a channel can't be called {wanted.name[:40]!r}", hint=hint, field="name")
    try:
        compile_target(WebhookTarget(url=wanted.to, secret=wanted.secret or None))
    except InvalidInput as error:  # the words are those for a route's target
        field = "secret" if error.field == "target.secret" else "to"
        raise InvalidInput(str(error).replace(error.field, field, 1), hint=error.hint, field=field) from None
    window = _seconds(wanted.window, "window", 0.0, _LONGEST_WINDOW)
    again = _seconds(wanted.again, "again", _SHORTEST_AGAIN, _LONGEST_AGAIN)
    quiet = quiet_of(wanted.quiet_hours, "quietHours") if wanted.quiet_hours is not None else None
    return Policy(window, again, quiet, frozenset(wanted.without))


def shown(channel: StoredChannel) -> dict[str, object]:
    """A channel without its secrets."""
    found: dict[str, object] = msgspec.to_builtins(channel.wanted)
    found.pop("secret")
    return found | {"to": host_of(channel.wanted.to), "signed": bool(channel.wanted.secret), "paused": channel.paused}


class ChannelBook:
    """All channels. `write(path, text)` replaces the file whole, for nobody else to read. A file that can't be read
    gives none, and is not written over: `problem` says why.
    """

    def __init__(
        self, path: Path, write: Callable[[Path, str], None], trail: Trail, clock: Callable[[], float] = time.time
    ) -> None:
        self._path = path
        self._write = write
        self._trail = trail
        self._clock = clock
        self._lock = asyncio.Lock()
        self._channels: dict[str, StoredChannel] = {}
        self.problem = ""
        try:
            self._channels = {one.name: one for one in read(path)}
        except SettingsError as error:
            self.problem = str(error)
            log.error("alerts.unreadable", error=str(error))

    def every(self) -> list[StoredChannel]:
        """All, by their names."""
        return sorted(self._channels.values(), key=lambda one: one.name)

    def named(self, name: str) -> StoredChannel:
        """The channel of a name; raise NotFound."""
        if (found := self._channels.get(name)) is not None:
            return found
        hint = did_you_mean(name, self._channels, "`openclaw-nats alerts` lists all.")
        raise NotFound(f"there is no alert channel {name[:40]!r}", hint=hint)

    async def add(self, wanted: AlertChannelRequest) -> StoredChannel:
        """Make a channel; raise InvalidInput or Conflict."""
        check_channel(wanted)
        made = StoredChannel(wanted=wanted, made=format_seconds(self._clock()))
        async with self._lock:
            if wanted.name in self._channels:
                hint = f"`openclaw-nats alerts remove {wanted.name}` removes it."
                raise Conflict(f"there is an alert channel {wanted.name} already", hint=hint)
            if len(self._channels) >= MAX_CHANNELS:
                raise InvalidInput(f"there are {MAX_CHANNELS} alert channels already", hint="Remove some.")
            async with self._trail.around(Act("alerts.add", wanted.name, after=shown(made))):
                self._keep({**self._channels, wanted.name: made})
        return made

    async def change(self, name: str, wanted: AlertChannelChange) -> StoredChannel:
        """Pause a channel, or end its pause; raise NotFound."""
        async with self._lock:
            before = self.named(name)
            after = msgspec.structs.replace(before, paused=wanted.paused)
            async with self._trail.around(Act("alerts.change", name, shown(before), shown(after))):
                self._keep({**self._channels, name: after})
        return after

    async def remove(self, name: str) -> None:
        """It is gone, and its address with it."""
        async with self._lock:
            before = self.named(name)
            async with self._trail.around(Act("alerts.remove", name, before=shown(before))):
                self._keep({key: one for key, one in self._channels.items() if key != name})

    def _keep(self, channels: dict[str, StoredChannel]) -> None:
        if self.problem:
            raise Conflict(self.problem, hint="Repair or remove that file, then `openclaw-nats restart`.")
        text = msgspec.json.format(msgspec.json.encode(ChannelFile(list(channels.values()))), indent=2).decode()
        try:
            self._write(self._path, text + "\n")
        except OSError as error:
            raise Unavailable(
                f"{self._path.name} can't be written: {error.strerror}", hint="Is the disk full?"
            ) from None
        self._channels = channels


def _seconds(value: str, field: str, least: float, most: float) -> float:
    try:
        found = parse_duration(value)
    except ValueError as error:
        raise InvalidInput(f"{field} must be {error}, not {value[:40]!r}", field=field) from None
    if not least <= found <= most:
        raise InvalidInput(f"{field} must be {least:g} to {most:g} seconds", field=field)
    return found
