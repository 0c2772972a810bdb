"""The sources that there are: a file with their secrets, which the sidecar alone changes."""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets as random_bytes
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import structlog
from msgspec import UNSET

from openclaw_nats.audit.act import Act
from openclaw_nats.audit.acting import API_KEY, COMMAND_LINE, actor
from openclaw_nats.audit.trail import Trail
from openclaw_nats.contract.checking import within
from openclaw_nats.contract.sources import (
    GenericOptions,
    RotateRequest,
    SourceChange,
    SourceOptions,
    SourceRequest,
)
from openclaw_nats.errors import Conflict, InvalidInput, NotAllowed, NotFound, SettingsError, Unavailable
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.events.origin import is_owned
from openclaw_nats.events.subjects import check_subject
from openclaw_nats.record_file import read_records
from openclaw_nats.sources import watched
from openclaw_nats.sources.naming import base_of
from openclaw_nats.sources.schemes.catalog import SCHEMES
from openclaw_nats.sources.stored import SourceFile, StoredSecret, StoredSource
from openclaw_nats.suggestions import did_you_mean

log = structlog.get_logger(__name__)

MAX_SOURCES = 200
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,30}[a-z0-9])?")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_LONGEST_SUBJECT = 160  # bytes: the event's own tokens come behind it
_LONGEST_SECRET = 512
_MOST_SECRETS = 3
_TOKEN_BYTES = 24
_decode = msgspec.json.Decoder(SourceFile).decode


def read(path: Path) -> list[StoredSource]:
    """The sources in a file, none without one; raise SettingsError for what does not hold any."""
    return read_records(path, "sources", _checked)


def _checked(content: bytes) -> list[StoredSource]:
    found = _decode(content).sources
    for one in found:
        check_name(one.name)
        check_base(one.subject)
        check_options(one.type, one.options)
        if not watched.is_watched(one.type) and not (one.token and one.secrets):
            raise ValueError(f"the source {one.name} has no address or no secret")
    if len({one.name for one in found}) < len(found):
        raise ValueError("two sources have one name")
    return found


class SourceBook:
    """All sources. `write(path, text)` replaces the file whole, for nobody else to read. A file that can't be read
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
        self._sources: dict[str, StoredSource] = {}
        self.problem = ""
        self.on_change: Callable[[], None] = lambda: None  # there are other sources than before
        try:
            self._sources = {one.name: one for one in read(path)}
        except SettingsError as error:
            self.problem = str(error)
            log.error("sources.unreadable", error=str(error))

    def every(self) -> list[StoredSource]:
        """All, by their names."""
        return sorted(self._sources.values(), key=lambda one: one.name)

    def named(self, name: str) -> StoredSource:
        """The source of a name; raise NotFound."""
        if (found := self._sources.get(name)) is not None:
            return found
        hint = did_you_mean(name, self._sources, "`openclaw-nats sources` lists all.")
        raise NotFound(f"there is no source {name[:40]!r}", hint=hint)

    def at(self, name: str, token: str) -> StoredSource | None:
        """The source that has an address; it takes as long for one that none has."""
        found = self._sources.get(name)
        if found is not None and watched.is_watched(found.type):
            found = None
        expected = found.token if found is not None else "-" * 32
        right = hmac.compare_digest(token.encode("utf-8", "replace"), expected.encode())
        return found if right else None

    def secrets_of(self, source: StoredSource) -> list[str]:
        """Those that count now."""
        now = self._clock()
        return [one.secret for one in source.secrets if not one.until or one.until > now]

    async def add(self, wanted: SourceRequest) -> StoredSource:
        """Make a source; raise InvalidInput."""
        check_name(wanted.name)
        options = SourceOptions() if wanted.options is UNSET else wanted.options
        check_options(wanted.type, options)
        check_taken(wanted.type, options)
        _check_maker(wanted.type)
        watched.check_now(wanted.type, options)
        watches = watched.is_watched(wanted.type)
        check_secret(wanted.type, wanted.secret)
        subject = base_of(wanted.type, wanted.name) if wanted.subject is UNSET else check_base(wanted.subject)
        made = StoredSource(
            name=wanted.name,
            type=wanted.type,
            subject=subject,
            token="" if watches else random_bytes.token_urlsafe(_TOKEN_BYTES),
            secrets=[StoredSecret(secret=wanted.secret)] if wanted.secret else [],
            made=format_seconds(self._clock()),
            options=options,
        )
        async with self._lock:
            if wanted.name in self._sources:
                hint = f"`openclaw-nats sources rotate {wanted.name}` gives it another secret."
                raise Conflict(f"there is a source {wanted.name} already", hint=hint)
            if len(self._sources) >= MAX_SOURCES:
                raise InvalidInput(f"there are {MAX_SOURCES} sources already", hint="Remove some.")
            async with self._trail.around(Act("sources.add", wanted.name, after=_shown(made))):
                self._keep({**self._sources, wanted.name: made})
        return made

    async def change(self, name: str, wanted: SourceChange) -> StoredSource:
        """Change a source; raise InvalidInput or NotFound."""
        async with self._lock:
            before = self.named(name)
            after = msgspec.structs.replace(
                before,
                paused=before.paused if wanted.paused is UNSET else wanted.paused,
                subject=before.subject if wanted.subject is UNSET else check_base(wanted.subject),
                options=before.options if wanted.options is UNSET else wanted.options,
            )
            check_options(after.type, after.options)
            if wanted.options is not UNSET:
                check_taken(after.type, after.options)
                _check_maker(after.type)
                watched.check_now(after.type, after.options)
            await self._replace(before, after, "sources.change")
        return after

    async def rotate(self, name: str, wanted: RotateRequest) -> StoredSource:
        """A new secret, beside which the one before counts for a while; with `address` a new address, at once."""
        async with self._lock:
            before = self.named(name)
            if watched.is_watched(before.type) and wanted.address:
                raise InvalidInput(f"the source {name} watches: it has no address", field="address")
            if watched.is_watched(before.type) and not wanted.secret:
                raise InvalidInput(f"a source of type {before.type} gets no secret from us", field="secret")
            check_secret(before.type, wanted.secret)
            now = self._clock()
            until = now + wanted.keep
            # The one that the provider still has may be one from before: each counts until its end, or until this one.
            old = [
                StoredSecret(secret=one.secret, until=min(until, one.until or until))
                for one in before.secrets[:_MOST_SECRETS]
                if not watched.is_watched(before.type) and wanted.keep and (not one.until or one.until > now)
            ]
            after = msgspec.structs.replace(
                before,
                secrets=[StoredSecret(secret=wanted.secret), *old],
                token=random_bytes.token_urlsafe(_TOKEN_BYTES) if wanted.address else before.token,
            )
            await self._replace(before, after, "sources.rotate")
        return after

    async def end_replaced(self, name: str, keep: float) -> None:
        """Let the secrets that were replaced count for at most `keep` seconds from now on."""
        async with self._lock:
            before, now = self.named(name), self._clock()
            kept = [one for one in before.secrets[1:] if keep and one.until > now]
            kept = [msgspec.structs.replace(one, until=min(one.until, now + keep)) for one in kept]
            if kept != before.secrets[1:]:
                after = msgspec.structs.replace(before, secrets=[before.secrets[0], *kept])
                await self._replace(before, after, "sources.rotate")

    async def remove(self, name: str) -> None:
        """It is gone, and so is its address."""
        async with self._lock:
            before = self.named(name)
            async with self._trail.around(Act("sources.remove", name, before=_shown(before))):
                self._keep({key: one for key, one in self._sources.items() if key != name})

    async def _replace(self, before: StoredSource, after: StoredSource, what: str) -> None:
        async with self._trail.around(Act(what, after.name, _shown(before), _shown(after))):
            self._keep({**self._sources, after.name: after})

    def _keep(self, sources: dict[str, StoredSource]) -> None:
        if self.problem:
            raise Conflict(self.problem, hint="Repair or remove that file, then `openclaw-nats restart`.")
        text = msgspec.json.format(msgspec.json.encode(SourceFile(list(sources.values()))), indent=2).decode()
        try:
            self._write(self._path, text + "\n")
        except OSError as error:
            raise Unavailable(
                f"{self._path.name} can't be written: {error.strerror}", hint="Is the disk full?"
            ) from None
        self._sources = sources
        self.on_change()


def check_name(name: str) -> str:
    """The name of a source, which subjects and the origin of its events are called after; raise InvalidInput."""
    if _NAME.fullmatch(name):
        return name
    hint = "Up to 32 of a-z, 0-9, - and _, a letter or digit first and last."
    raise InvalidInput(f"a source can't be called {name[:40]!r}", hint=hint, field="name")


def check_secret(kind: str, secret: str) -> None:
    """Raise InvalidInput for what can't be the secret of a source of this type."""
    watching = watched.WATCHED.get(kind)
    if watching is not None and not secret and not watching.needs_secret:
        return
    if watching is not None and secret and not watching.secret:
        raise InvalidInput(f"a source of type {kind} has no secret", field="secret")
    why = "the secret is empty" if not secret.strip() else ""
    # In ASCII: what else stands in a header, senders and servers read in several ways.
    if len(secret) > _LONGEST_SECRET or not (secret.isprintable() and secret.isascii()) or secret != secret.strip():
        why = f"a secret is one line of at most {_LONGEST_SECRET} printable ASCII characters, without space around it"
    why = why or (SCHEMES[kind].check(secret) if kind in SCHEMES else "")
    if why:
        raise InvalidInput(why, field="secret")


def check_options(kind: str, options: SourceOptions) -> None:
    """Raise InvalidInput for options that do not fit the type."""
    if (options.generic is not None) != (kind == "generic"):
        text = "a generic source needs to know how its sender signs" if kind == "generic" else "it is for type generic"
        raise InvalidInput(text, field="options.generic")
    for name, value in (("header", options.header), ("timestampHeader", options.timestamp_header)):
        if value and not _HEADER.fullmatch(value):
            raise InvalidInput(f"{value[:40]!r} is no name of a header", field=f"options.{name}")
    if options.url and not _is_address(options.url):
        raise InvalidInput("url must be the https:// address as the provider has it", field="options.url")
    if options.generic is not None:
        _check_generic(options.generic)
    watched.check(kind, options)


def check_taken(kind: str, options: SourceOptions) -> None:
    """Raise InvalidInput for an option that the type would not read (`watched.check` does it for watchers)."""
    if kind not in SCHEMES:
        return
    for name, field in (("header", "header"), ("timestamp_header", "timestampHeader"), ("url", "url")):
        if getattr(options, name) and name not in SCHEMES[kind].takes:
            raise InvalidInput(f"it is not for type {kind}", field=f"options.{field}")


def _check_maker(kind: str) -> None:
    """Raise NotAllowed for whoever may not have a program run here: a browser's session, or anybody but the key."""
    if kind == "command" and actor() not in (COMMAND_LINE, API_KEY):
        hint = "`openclaw-nats sources add NAME --type command --command '…'` makes one."
        raise NotAllowed("a program is run for the command line and the API key alone", hint=hint)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username


def _check_generic(how: GenericOptions) -> None:
    where = "options.generic"
    for name in ("header", "timestamp_header", "id_header", "event_header"):
        value = getattr(how, name)
        if (value or name == "header") and not _HEADER.fullmatch(value):
            raise InvalidInput(f"{value[:40]!r} is no name of a header", field=f"{where}.{name}")
    if not 1 <= how.tolerance <= 86400:
        raise InvalidInput("tolerance must be from 1 to 86400 seconds", field=f"{where}.tolerance")
    if how.signed != "body" and (not how.signed.endswith("{body}") or how.signed.count("{body}") != 1):
        raise InvalidInput("signed must be body, or end with {body}", field=f"{where}.signed")
    if bool(how.timestamp_header) != ("{ts}" in how.signed):
        text = "a timestamp counts only when it is signed: signed has {ts} if and only if there is a timestampHeader"
        raise InvalidInput(text, field=f"{where}.signed")


def check_base(subject: str) -> str:
    """What the subjects of a source's events begin with; raise InvalidInput."""
    with within("subject"):
        check_subject(subject)
    if is_owned(subject) or is_owned(f"{subject}.x"):
        raise InvalidInput(f"{subject} is for the Gateway, the bus and your own jobs alone", field="subject")
    if len(subject.encode()) > _LONGEST_SUBJECT or subject.count(".") > 8:
        text = f"subject is too long: at most {_LONGEST_SUBJECT} bytes and 9 tokens, the event's own come behind it"
        raise InvalidInput(text, field="subject")
    return subject


def _shown(source: StoredSource) -> dict[str, object]:
    return {
        "type": source.type,
        "subject": source.subject,
        "paused": source.paused,
        "options": msgspec.to_builtins(source.options),
        "secrets": len(source.secrets),
    }
