"""The file of `openclaw-nats receive`: read and checked whole before anything of it counts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from openclaw_nats.addresses import host_port, is_loopback
from openclaw_nats.contract.receiver import ReceiverFile
from openclaw_nats.contract.sources import SourceOptions, SourceRequest
from openclaw_nats.errors import InvalidInput, SettingsError
from openclaw_nats.events.subjects import PREFIX
from openclaw_nats.jetstream.options import Options, servers_of
from openclaw_nats.keys.making import check_name as check_key_name
from openclaw_nats.keys.making import public_half
from openclaw_nats.keys.rights import inbox_of
from openclaw_nats.service.tls import Certificate
from openclaw_nats.sources.book import MAX_SOURCES, check_base, check_name, check_options, check_secret, check_taken
from openclaw_nats.sources.file import secret_in, tables_of
from openclaw_nats.sources.naming import base_of
from openclaw_nats.sources.schemes.catalog import SCHEMES, UNSIGNED
from openclaw_nats.suggestions import did_you_mean
from openclaw_nats.text_formats import from_toml, without_dates

_LARGEST = 1 << 20
_LISTEN = re.compile(r"(?:\[(?P<six>[^\]]+)\]|(?P<four>[^:\s]+)):(?P<port>\d{1,5})")
_OTHERS = 0o007


@dataclass(frozen=True)
class WantedSource:
    """A source as the file has it."""

    request: SourceRequest
    subject: str
    options: SourceOptions
    paused: bool


@dataclass(frozen=True)
class Receiver:
    """What the file says, checked. `public_url` is empty or the address as providers have it, without its end slash."""

    path: Path
    host: str
    port: int
    state: Path
    public_url: str
    certificate: tuple[Path, Path] | None
    plain_http: bool
    max_connections: int
    log: str
    key: str
    nats: Options
    keep_replaced: float
    sources: tuple[WantedSource, ...]

    def tls(self) -> Certificate | None:
        """Its certificate; raise SettingsError for one that can't be used."""
        return Certificate(*self.certificate) if self.certificate is not None else None

    @property
    def address(self) -> str:
        """What the addresses of sources begin with."""
        scheme = "https" if self.certificate else "http"
        return self.public_url or f"{scheme}://{host_port(self.host, self.port)}"


def read(path: Path) -> Receiver:
    """Read a file; raise SettingsError or InvalidInput that names what is wrong."""
    found = _decoded(path)
    folder = path.absolute().parent
    host, port = _listen(found.listen)
    pair = _pair(found, folder)
    public = found.public_url.rstrip("/")
    if public and (urlsplit(public).scheme not in ("http", "https") or not urlsplit(public).hostname):
        raise SettingsError(f"{path}: public_url must be an http:// or https:// address")
    _check_exposed(host, found, pair is not None)
    check_key_name(found.nats.key)
    key_file = folder / found.nats.key_file
    if not public_half(_private(key_file, "nats.key_file")):
        hint = f"`openclaw-nats keys add {found.nats.key} --publish 'webhook.>' --file {key_file.name}` in the house."
        raise SettingsError(f"{key_file} holds no limited key", hint=hint)
    options = Options(
        servers=servers_of(found.nats.url),
        nkey_seed_file=str(key_file),
        tls_ca_file=str(folder / found.nats.ca_file) if found.nats.ca_file else "",
        inbox_prefix=inbox_of(found.nats.key),
    )
    if not all(
        urlsplit(one).scheme in ("nats", "tls", "ws", "wss") and urlsplit(one).hostname for one in options.servers
    ):
        raise SettingsError(f"{path}: nats.url must be an address that begins with nats://")
    tables = tables_of(without_dates(found.source), path, folder)
    if len(tables) > MAX_SOURCES:
        raise SettingsError(f"{path}: there are more than {MAX_SOURCES} sources")
    return Receiver(
        path=path,
        host=host,
        port=port,
        state=folder / found.state,
        public_url=public,
        certificate=pair,
        plain_http=found.plain_http,
        max_connections=found.max_connections,
        log=found.log,
        key=found.nats.key,
        nats=options,
        keep_replaced=found.keep_replaced_secret,
        sources=tuple(_wanted(one, public) for one in tables),
    )


def _decoded(path: Path) -> ReceiverFile:
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST + 1)
        if len(text) > _LARGEST:
            raise ValueError(f"it is larger than {_LARGEST} bytes")
        return msgspec.convert(from_toml(text.decode()), ReceiverFile)
    except OSError as error:
        raise SettingsError(f"{path} can't be read: {error.strerror}") from None
    except (ValueError, msgspec.ValidationError) as error:
        raise SettingsError(f"{path}: {error}") from None


def _listen(text: str) -> tuple[str, int]:
    found = _LISTEN.fullmatch(text)
    if found is None or not 0 < int(found["port"]) < 65536:
        raise SettingsError(f"listen must be an address and a port, such as 127.0.0.1:8480, not {text[:60]!r}")
    return found["six"] or found["four"], int(found["port"])


def _pair(found: ReceiverFile, folder: Path) -> tuple[Path, Path] | None:
    if bool(found.tls_certificate) != bool(found.tls_key):
        missing = "tls_key" if found.tls_certificate else "tls_certificate"
        raise SettingsError(f"TLS needs both: {missing} is missing")
    return (folder / found.tls_certificate, folder / found.tls_key) if found.tls_key else None


def _check_exposed(host: str, found: ReceiverFile, tls: bool) -> None:
    if is_loopback(host) or tls or found.public_url.startswith("https://") or found.plain_http:
        return
    raise SettingsError(
        f"listen is {host}, beyond this machine, and there is no TLS: addresses and tokens would cross the network in "
        "the open",
        hint="Set tls_certificate and tls_key; or, behind a proxy with TLS, public_url to its https:// address. To "
        "insist: plain_http = true.",
    )


def _private(path: Path, what: str) -> str:
    """The text of a file that others on this machine may not read; raise SettingsError."""
    try:
        with path.open("rb") as file:
            mode = path.stat().st_mode
            content = file.read(_LARGEST)
    except OSError as error:
        raise SettingsError(f"{what}: {path} can't be read: {error.strerror}") from None
    if mode & _OTHERS:
        hint = f"chmod 600 {path}"
        raise SettingsError(
            f"{what}: {path} may be read by everybody on this machine (mode {mode & 0o777:04o})", hint=hint
        )
    return secret_in(path, content)


def _wanted(table: dict[str, object], public: str) -> WantedSource:
    """A checked source; raise SettingsError or InvalidInput that names it."""
    name = check_name(str(table["name"]))
    kind = table.get("type")
    if not isinstance(kind, str) or kind not in SCHEMES:
        raise SettingsError(
            f"the source {name}: there is no type {str(kind)[:40]!r}",
            hint=did_you_mean(str(kind), SCHEMES, "Watchers (files, mail, …) are in the house."),
        )
    if kind == UNSIGNED:
        hint = "Quarantine is in the house: make it there (`openclaw-nats sources add --unsigned`)."
        raise SettingsError(f"the source {name}: a receiver takes nothing that proves nothing", hint=hint)
    if not isinstance(secret_file := table.get("secret_file"), Path):
        raise SettingsError(f"the source {name} names no secret_file")
    subject = table.get("subject", "")
    if not isinstance(subject, str) or not isinstance(table.get("paused", False), bool):
        raise SettingsError(f"the source {name}: subject is a text, paused true or false")
    full = (subject if subject.startswith(PREFIX) else PREFIX + subject) if subject else base_of(kind, name)
    try:
        options = msgspec.convert(table.get("options", {}), SourceOptions)
        if SCHEMES[kind].needs_url and not options.url:
            options = msgspec.structs.replace(options, url=public)
        check_options(kind, options)
        check_taken(kind, options)
        secret = _private(secret_file, "secret_file")
        check_secret(kind, secret)
        request = msgspec.convert(
            {"name": name, "type": kind, "secret": secret, "subject": check_base(full), "options": options},
            SourceRequest,
        )
    except (msgspec.ValidationError, InvalidInput, SettingsError) as error:
        raise SettingsError(f"the source {name}: {error}", hint=getattr(error, "hint", "")) from None
    return WantedSource(request, full, options, table.get("paused") is True)
