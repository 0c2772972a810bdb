"""This machine: Python, files and who may read them, ports, disk, clock."""

from __future__ import annotations

import itertools
import os
import platform
import socket
import ssl
import stat
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from openclaw_nats import __version__
from openclaw_nats.addresses import is_loopback
from openclaw_nats.doctor import tls_side
from openclaw_nats.doctor.finding import Finding, note, ok, problem
from openclaw_nats.errors import SettingsError, SetupError
from openclaw_nats.health import disks
from openclaw_nats.installer import nats_server
from openclaw_nats.installer.services import WORDS, service_for
from openclaw_nats.installer.setup import read_record
from openclaw_nats.keys import file as limited_keys
from openclaw_nats.keys.making import is_over
from openclaw_nats.locations import Locations
from openclaw_nats.settings import Settings, format_size
from openclaw_nats.sources import book as source_book

_MOST_REJECTED = 100_000
_RELEASED = 1_767_225_600  # 2026-01-01: a clock before that is wrong


def versions(settings: Settings) -> Iterator[Finding]:
    """Ourselves, Python, nats-server."""
    yield ok("versions", f"openclaw-nats {__version__}, Python {platform.python_version()}, {platform.platform()}")
    if not settings.nats.managed:
        return
    try:
        binary, version = nats_server.find()
        yield ok("versions", f"nats-server {version} ({binary})")
    except SetupError as error:
        yield problem("versions", str(error), error.hint)


def files(settings: Settings) -> Iterator[Finding]:
    """Secrets and the database are there and for nobody else."""
    where = Locations(settings.home)
    if not settings.home.is_dir():
        yield problem("files", f"{settings.home} does not exist", "Run `openclaw-nats setup`.")
        return
    wanted = [
        (where.api_key, True),
        (where.hook_token, False),
        (settings.home / "sidecar.db", False),
        (where.event_index, False),
        (where.nats_nkey, False),
        (where.limited_keys, False),
        (where.sources, False),
        (where.alerts, False),
    ]
    if settings.nats.managed:
        wanted.append((where.nats_password, True))
    for named in (settings.nats.password_file, settings.nats.credentials_file, settings.nats.nkey_seed_file):
        if named and Path(named) != where.nats_password:
            wanted.append((Path(named), True))
    bad = 0
    for path, needed in wanted:
        try:
            found = path.stat()
        except FileNotFoundError:
            if needed:
                bad += 1
                yield problem("files", f"{path} is missing", "Run `openclaw-nats setup`, which makes it.")
            continue
        if found.st_uid != os.getuid():
            bad += 1
            yield problem("files", f"{path} belongs to another user", f"Run `sudo chown {os.getuid()} {path}`.")
        elif found.st_mode & 0o077:
            bad += 1
            mode = stat.S_IMODE(found.st_mode)
            text = f"{path} can be read or changed by others (mode {mode:04o})"
            yield problem("files", text, f"Run `chmod 600 {path}`.", partial(path.chmod, 0o600))
    if not bad:
        yield ok("files", f"keys, passwords and the database in {settings.home} are for you only")


def sources(settings: Settings) -> Iterator[Finding]:
    """Whether the sources of webhooks can be read."""
    try:
        source_book.read(Locations(settings.home).sources)
    except SettingsError as error:
        yield problem("sources", str(error), error.hint)


def keys(settings: Settings) -> Iterator[Finding]:
    """Limited keys can be read, and which of them have ended."""
    try:
        found = limited_keys.read(Locations(settings.home).limited_keys)
    except SettingsError as error:
        yield problem("keys", f"no limited key counts: {error}", error.hint)
        return
    over = [key.name for key in found if is_over(key, time.time())]
    if over:
        text = f"limited keys that have expired: {', '.join(over)}"
        yield note("keys", text, "`openclaw-nats keys revoke NAME` takes one off the list.")
    elif found:
        yield ok("keys", f"{len(found)} limited keys count")


def service(settings: Settings) -> Iterator[Finding]:
    """Whether `up` runs."""
    where = Locations(settings.home)
    one = service_for(where, read_record(where).get("service", ""))
    if one.running():
        yield ok("service", f"it runs, as {WORDS[one.kind].partition(' (')[0]}")
    else:
        yield problem("service", "openclaw-nats does not run", "Run `openclaw-nats start`.", _start)


def ports(settings: Settings) -> Iterator[Finding]:
    """Who listens, and for whom."""
    host, port = settings.sidecar.host, settings.sidecar.port
    by_tls = settings.sidecar_speaks_tls
    if not is_loopback(host):
        how = "by TLS" if by_tls else "over plain HTTP"
        yield note(
            "ports",
            f"the sidecar listens on {host}: every machine that reaches it needs the key, {how}",
            "If nobody else has to reach it: `openclaw-nats config set sidecar.host 127.0.0.1`.",
        )
    if missing := settings.half_of_tls:
        text = f"{missing} is not set: TLS needs both, and the sidecar speaks plain HTTP"
        yield problem("tls", text, f"Run `openclaw-nats config set {missing} FILE`.")
    if by_tls:
        yield from tls_side.certificate(settings)
    where = urlsplit(settings.sidecar.url)
    if (where.port or (443 if by_tls else 80)) != port:
        yield problem(
            "ports",
            f"sidecar.url is {settings.sidecar.url}, but the sidecar listens on port {port}",
            f"Run `openclaw-nats config set sidecar.port {port}`.",
        )
    addresses = [("sidecar", where.hostname or "127.0.0.1", port, b"HTTP")]
    if settings.nats.managed:
        addresses.append(("nats", *settings.nats_address, b"INFO"))
    for name, address, number, mark in addresses:
        greeting = _greeting(address, number, ask=mark == b"HTTP", tls=by_tls and name == "sidecar")
        if greeting is None:
            yield problem("ports", f"nothing listens on {address} port {number} ({name})", "Run `openclaw-nats start`.")
        elif not greeting:
            text = f"{address} port {number} does not answer within 3 s: {name} is stopped, or another program listens"
            fix = f"`openclaw-nats restart`; if it stays: `openclaw-nats setup --{name}-port <a free port>`."
            yield problem("ports", text, fix)
        elif not greeting.startswith(mark):
            yield problem(
                "ports",
                f"another program listens on {address} port {number}, where {name} should be",
                f"Stop it, or move ours: `openclaw-nats setup --{name}-port <a free port>`.",
            )
        else:
            here = is_loopback(settings.sidecar.host if name == "sidecar" else address)
            yield ok(
                "ports",
                f"{name} listens on {address} port {number}{', for this machine only (loopback)' if here else ''}",
            )


def disk(settings: Settings) -> Iterator[Finding]:
    """Room for the stream, the inbox and the spool."""
    for disk in disks.disks(settings):
        shown = f"{disk.free / 2**30:.1f} GiB are free below {disk.folder}"
        less = "; ".join(
            f"`openclaw-nats config set {name}`" for name in ("stream.max_bytes 256MiB", "inbox.max_bytes 64MiB")
        )
        if disk.low:
            yield problem("disk", disk.text, f"Make room, or keep less: {less}.")
        elif settings.nats.managed and disk.free < settings.stream.max_bytes:
            yield note("disk", f"{shown}; the stream may grow to {format_size(settings.stream.max_bytes)}")
        else:
            yield ok("disk", shown)


def rejected(settings: Settings) -> Iterator[Finding]:
    """Events that the sidecar refused: the plugin keeps them in a file, and nobody else sees them."""
    path = settings.home / "spool" / "rejected.ndjson"
    try:
        with path.open("rb") as file:
            count = sum(1 for line in itertools.islice(file, _MOST_REJECTED) if line.strip())
    except FileNotFoundError:
        return
    if count:
        more = " or more" if count == _MOST_REJECTED else ""
        text = f"{count}{more} events were refused, and are only in {path}"
        yield problem("rejected", text, "Each line says why. Delete the file when you have dealt with them.")


def clock() -> Iterator[Finding]:
    """The clock is plausible, and time zones are known."""
    if time.time() < _RELEASED:
        yield problem(
            "clock", f"the clock says {time.strftime('%Y-%m-%d')}", "Set it; `timedatectl set-ntp true` keeps it."
        )
        return
    try:
        ZoneInfo("Europe/Berlin")
    except ZoneInfoNotFoundError:
        yield problem("clock", "time zones are not known here", f"Run `{sys.executable} -m pip install tzdata`.")
        return
    yield ok("clock", datetime.now().astimezone().isoformat(timespec="seconds").replace("+00:00", "Z"))


def _start() -> None:
    from openclaw_nats.settings import load

    where = Locations(load().home)
    one = service_for(where, read_record(where).get("service", ""))
    one.install()
    one.start()


def _greeting(host: str, port: int, *, ask: bool, tls: bool) -> bytes | None:
    """What a port says first, or to a question; None when nobody listens."""
    try:
        with socket.create_connection((host, port), timeout=3) as plain, tls_side.maybe(plain, tls=tls) as link:
            if ask:
                link.sendall(b"GET /api/health HTTP/1.1\r\nHost: doctor\r\nConnection: close\r\n\r\n")
            link.settimeout(3)
            return link.recv(400)
    except TimeoutError:
        return b""
    except ssl.SSLError:
        return b"no TLS"
    except OSError:
        return None
