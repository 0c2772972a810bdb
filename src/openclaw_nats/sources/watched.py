"""Which types of sources watch, what each needs to be told, and what has to be installed for it."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

import msgspec

from openclaw_nats.contract import sources as shapes
from openclaw_nats.contract.checking import within
from openclaw_nats.errors import InvalidInput
from openclaw_nats.events import json_path
from openclaw_nats.settings import parse_duration

Watch = (
    shapes.FilesOptions
    | shapes.HttpOptions
    | shapes.CommandOptions
    | shapes.FeedOptions
    | shapes.CalendarOptions
    | shapes.MailOptions
)
INSTALL = "pip install 'openclaw-nats[sources]'"
_LONGEST = 1024
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")
_MOST_ARGUMENTS = 100
_LONGEST_SECONDS = 30 * 86400.0


@dataclass(frozen=True)
class Kind:
    """A type that watches: the options that it has, what it watches in words, the modules that it needs, and the
    seconds between two looks at least.
    """

    options: type[Watch]
    about: str
    needs: tuple[str, ...] = ()
    least: float = 1.0
    secret: bool = False  # whether it may sign in somewhere
    needs_secret: bool = False


WATCHED: Mapping[str, Kind] = MappingProxyType(
    {
        "files": Kind(shapes.FilesOptions, "Files that are created, changed or deleted in a folder.", ("watchfiles",)),
        "http": Kind(shapes.HttpOptions, "An address, or one value of its JSON, that changes.", secret=True),
        "command": Kind(shapes.CommandOptions, "The lines of a program's output, and its end."),
        "feed": Kind(shapes.FeedOptions, "New entries of an RSS or Atom feed.", ("feedparser",), 5.0, secret=True),
        "calendar": Kind(
            shapes.CalendarOptions,
            "Appointments of an ICS calendar, some time before each.",
            ("icalendar", "recurring_ical_events"),
            5.0,
            secret=True,
        ),
        "mail": Kind(
            shapes.MailOptions,
            "Mails that come to a mailbox.",
            ("imap_tools",),
            5.0,
            secret=True,
            needs_secret=True,
        ),
    }
)


def is_watched(kind: str) -> bool:
    """Whether sources of a type watch, so that nobody sends to them."""
    return kind in WATCHED


def missing(kind: str) -> str:
    """What has to be installed before a type can watch, in one line; empty when nothing has."""
    absent = [one for one in WATCHED[kind].needs if importlib.util.find_spec(one) is None]
    return f"sources of type {kind} need {', '.join(absent)}, which is not installed: {INSTALL}" if absent else ""


def options_of(kind: str, options: shapes.SourceOptions) -> Watch:
    """The options of a source that watches; raise InvalidInput when they are not there."""
    found: Watch | None = getattr(options, kind)
    if found is None:
        raise InvalidInput(f"a source of type {kind} needs to know what it watches", field=f"options.{kind}")
    return found


def check(kind: str, options: shapes.SourceOptions) -> None:
    """Raise InvalidInput for options that do not fit the type, or that can never work."""
    for other in WATCHED:
        if other != kind and getattr(options, other) is not None:
            raise InvalidInput(f"it is for type {other}", field=f"options.{other}")
    if kind not in WATCHED:
        return
    watch = options_of(kind, options)
    for name, where in (("url", "options.url"), ("timestamp_header", "options.timestampHeader")):
        if getattr(options, name):
            raise InvalidInput(f"it is not for type {kind}", field=where)
    if options.header and not (WATCHED[kind].secret and not WATCHED[kind].needs_secret):
        raise InvalidInput(f"it is not for type {kind}", field="options.header")
    where = f"options.{kind}"
    for field in msgspec.structs.fields(type(watch)):
        value = getattr(watch, field.name)
        if isinstance(value, str) and (len(value) > _LONGEST or not value.isprintable()):
            text = f"{field.encode_name} must be at most {_LONGEST} printable characters"
            raise InvalidInput(text, field=f"{where}.{field.encode_name}")
    _check_durations(watch, where, WATCHED[kind].least)
    if isinstance(watch, shapes.FilesOptions):
        _check_absolute(watch.path, f"{where}.path")
    if isinstance(watch, shapes.HttpOptions | shapes.FeedOptions):
        check_address(watch.url, f"{where}.url")
    if isinstance(watch, shapes.CalendarOptions):
        _check_calendar(watch, where)
    if isinstance(watch, shapes.HttpOptions):
        with within(f"{where}.jsonPath"):
            json_path.parse(watch.json_path)
    if isinstance(watch, shapes.MailOptions):
        _check_mail(watch, where)
    if isinstance(watch, shapes.CommandOptions):
        _check_command(watch.command, f"{where}.command")


def check_now(kind: str, options: shapes.SourceOptions) -> None:
    """Raise InvalidInput for what can't work on this machine now: what is not installed, a folder that is not there."""
    if kind not in WATCHED:
        return
    if why := missing(kind):
        raise InvalidInput(why, field="type")
    watch = options_of(kind, options)
    if isinstance(watch, shapes.FilesOptions) and not Path(watch.path).is_dir():
        raise InvalidInput(f"{watch.path} is no folder on the sidecar's machine", field="options.files.path")
    if isinstance(watch, shapes.CalendarOptions) and watch.path and not Path(watch.path).is_file():
        raise InvalidInput(f"{watch.path} is no file on the sidecar's machine", field="options.calendar.path")
    if isinstance(watch, shapes.CommandOptions) and shutil.which(watch.command[0]) is None:
        text = f"there is no program {watch.command[0][:80]!r} on the sidecar's machine"
        raise InvalidInput(text, field="options.command.command")


def seconds_of(duration: str) -> float:
    """The seconds of a duration that was checked."""
    return parse_duration(duration)


def check_address(url: str, field: str) -> None:
    """Raise InvalidInput for what is no address that may be asked for."""
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        signs_in = parts.username is not None
    except ValueError:
        right = signs_in = False
    if not right or " " in url:
        raise InvalidInput(f"{url[:80]!r} is no http:// or https:// address", field=field)
    if signs_in:
        raise InvalidInput("the address holds a user or password", hint="Give it by --secret-file.", field=field)


def _check_durations(watch: Watch, where: str, least: float) -> None:
    for name in ("every", "settle", "before"):
        if (value := getattr(watch, name, None)) is None:
            continue
        try:
            seconds = parse_duration(value)
        except ValueError as error:
            raise InvalidInput(f"{name} must be {error}, not {value[:40]!r}", field=f"{where}.{name}") from None
        smallest = least if name == "every" else 0.0
        if not smallest <= seconds <= _LONGEST_SECONDS:
            text = f"{name} must be from {smallest:g} s to 30 days, not {value[:40]}"
            raise InvalidInput(text, field=f"{where}.{name}")


def _check_absolute(path: str, field: str) -> None:
    if not os.path.isabs(path):
        raise InvalidInput(f"{path[:80]!r} is no absolute path", field=field)


def _check_calendar(watch: shapes.CalendarOptions, where: str) -> None:
    if bool(watch.url) == bool(watch.path):
        raise InvalidInput("a calendar is at an address or in a file: one of url and path", field=f"{where}.url")
    if watch.url:
        check_address(watch.url, f"{where}.url")
    else:
        _check_absolute(watch.path, f"{where}.path")


def _check_mail(watch: shapes.MailOptions, where: str) -> None:
    if not _HOST.fullmatch(watch.host):
        raise InvalidInput(f"{watch.host[:80]!r} is no name or address of a server", field=f"{where}.host")
    if not watch.user.strip() or not watch.user.isascii():
        raise InvalidInput("the user is printable ASCII", field=f"{where}.user")
    if not watch.mailbox.strip():
        raise InvalidInput("the mailbox has no name", field=f"{where}.mailbox")
    if not 1 <= watch.port <= 65535:
        raise InvalidInput("port must be from 1 to 65535", field=f"{where}.port")
    if watch.tls == "none" and watch.host not in ("localhost", "127.0.0.1", "::1"):
        text = "a password goes to another machine by TLS only"
        raise InvalidInput(text, hint="imaps, or starttls.", field=f"{where}.tls")


def _check_command(command: list[str], field: str) -> None:
    if not command or not command[0].strip():
        raise InvalidInput("the command is empty", field=field)
    if len(command) > _MOST_ARGUMENTS or sum(map(len, command)) > 4 * _LONGEST or any("\0" in one for one in command):
        text = f"a command has at most {_MOST_ARGUMENTS} arguments, {4 * _LONGEST} characters and no NUL"
        raise InvalidInput(text, field=field)
