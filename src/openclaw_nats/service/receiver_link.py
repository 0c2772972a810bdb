"""The house's side of `openclaw-nats receive` on another machine: where the sidecar hears it.

It is a second connection, to a user of the account that the link from there ends in (contrib/receive). That account has
no JetStream, and nobody else is in it: whoever holds the other machine is heard on `key.<name>.>`, and that is all.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import structlog

from openclaw_nats.errors import InvalidInput, OpenClawNatsError, SettingsError
from openclaw_nats.jetstream.key_door import KeyDoor, Take
from openclaw_nats.jetstream.options import Options, servers_of
from openclaw_nats.keys.known import KnownKeys
from openclaw_nats.keys.making import check_name
from openclaw_nats.settings import Settings
from openclaw_nats.suggestions import did_you_mean

log = structlog.get_logger(__name__)

INBOX = "_INBOX_door"


class ReceiverDoor:
    """Where the sidecar hears the receiver: `door` is None without one, and when its settings can't be used. What is
    wrong with them stops nothing else: `note` says it, for the health report.
    """

    def __init__(
        self, settings: Settings, keys: KnownKeys, take: Take, code_of: Callable[[OpenClawNatsError], int]
    ) -> None:
        self._keys = keys
        self._key = settings.receiver.key
        self._problem = ""
        self.door: KeyDoor | None = None
        try:
            if (link := listens_with(settings)) is not None:
                self.door = KeyDoor(link, keys, take, code_of, self._key)
        except OpenClawNatsError as error:
            self._problem = f"the receiver is not heard: {error}"
            log.error("receiver.not_heard", error=str(error))

    @property
    def note(self) -> str:
        """Why the receiver's events do not come; empty when they can."""
        if self.door is None:
            return self._problem
        if self._keys.named(self._key) is None:
            return f"the receiver's key {self._key!r} is no limited key that counts: what it sends is refused"
        if problem := self.door.problem:
            return f"the receiver {self._key!r} is not heard, at receiver.url: {problem}"
        return ""


def check_receiver(settings: Settings) -> None:
    """Raise InvalidInput or SettingsError for settings of a receiver with which nothing could be heard."""
    if listens_with(settings) is None:
        if settings.receiver.password_file:
            _password(settings)
        return
    known = {key.name for key in KnownKeys(settings.home).valid()}
    if settings.receiver.key not in known:
        hint = did_you_mean(settings.receiver.key, known, "`openclaw-nats keys add` makes one.")
        raise InvalidInput(f"there is no limited key {settings.receiver.key!r} that counts", hint=hint)


def _password(settings: Settings) -> str:
    """The password of the link; raise SettingsError for a file that is not there, or that others can read."""
    path = settings.receiver.password_file
    if not path:
        return ""
    try:
        mode = Path(path).stat().st_mode
        password = settings.receiver_password()
    except OSError as error:
        raise SettingsError(f"receiver.password_file {path} can't be read: {error.strerror}") from None
    if mode & 0o077:
        raise SettingsError(f"receiver.password_file {path} can be read by others", hint=f"`chmod 600 {path}`")
    if not password:
        raise SettingsError(f"receiver.password_file {path} can't be read, or is empty")
    return password


def listens_with(settings: Settings) -> Options | None:
    """The second connection; None without a receiver. Raises SettingsError for a part of its settings."""
    one = settings.receiver
    if not one.key:
        return None
    check_name(one.key)
    password = _password(settings)
    missing = {"url": one.url, "user": one.user, "password_file": password}
    if names := ", ".join(f"receiver.{name}" for name, value in missing.items() if not value):
        raise SettingsError(
            f"receiver.key names a receiver, and to hear it these are missing: {names}",
            hint="docs/how-to/receive.md shows all of it. `openclaw-nats config set receiver.key ''` ends it.",
        )
    return Options(
        servers=servers_of(one.url),
        user=one.user,
        password=password,
        tls_ca_file=settings.nats.tls_ca_file,
        inbox_prefix=INBOX,
    )
