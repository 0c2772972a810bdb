"""The flags of `sources add` for what watches, and the options that they are."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from typing import Any

import click

from openclaw_nats.errors import InvalidInput

# Flag → (its field, help). Which types have it, their options say.
_TEXTS = {
    "--path": ("path", "files: the folder; calendar: the ICS file."),
    "--pattern": ("pattern", "files: which names, such as '*.pdf'; with a / which paths."),
    "--settle": ("settle", "files: for how long one has to stay as it is; 2s."),
    "--every": ("every", "How often it is looked at, such as 5m; command: how long after its end."),
    "--before": ("before", "calendar: how long before an appointment its event is; 15m."),
    "--host": ("host", "mail: the IMAP server."),
    "--port": ("port", "mail: its port; 993."),
    "--user": ("user", "mail: who signs in there, with the password of --password-file."),
    "--mailbox": ("mailbox", "mail: which one; INBOX."),
    "--tls": ("tls", "mail: imaps, starttls, or none for a server on this machine."),
    "--json-path": ("json_path", "http: the value that counts, such as $.items[0].name."),
    "--command": ("command", "command: the program and its arguments, in quotes; no shell reads them."),
}
_SWITCHES = {
    "--recursive": ("recursive", "files: also in the folders below."),
    "--mark-read": ("mark_read", "mail: mark as read what became an event; else nothing changes there."),
    "--from-beginning": ("from_beginning", "What is there now is an event, too."),
}


def watch_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command these flags; it gets them by their fields."""
    for flag, (name, text) in reversed(list(_TEXTS.items())):
        command = click.option(flag, name, help=text)(command)
    for flag, (name, text) in reversed(list(_SWITCHES.items())):
        command = click.option(flag, name, is_flag=True, help=text)(command)
    return command


def options_from(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a type as the API has them; raise InvalidInput for a flag that it does not have."""
    import msgspec

    from openclaw_nats.sources.watched import WATCHED

    flags = {name: flag for flag, (name, _) in (_TEXTS | _SWITCHES).items()} | {"url": "--url"}
    set_here = {name: value for name, value in given.items() if name in flags and value not in (None, False)}
    if kind not in WATCHED:
        set_here.pop("url", None)  # which some types of webhooks have
        if set_here:
            raise InvalidInput(f"{flags[next(iter(set_here))]} is not for type {kind}")
        return {}
    known = {field.name: field for field in msgspec.structs.fields(WATCHED[kind].options)}
    for name in set_here:
        if name not in known:
            raise InvalidInput(f"{flags[name]} is not for type {kind}")
    if missing := [name for name, field in known.items() if field.required and name not in set_here]:
        raise InvalidInput(f"a source of type {kind} needs {flags[missing[0]]}")
    return {kind: {known[name].encode_name: _value(name, value) for name, value in set_here.items()}}


def check_password(kind: str) -> None:
    """Raise InvalidInput when a type can't do without a password, which nobody has given."""
    from openclaw_nats.sources.watched import WATCHED

    if WATCHED[kind].needs_secret:
        raise InvalidInput(f"a source of type {kind} needs --password-file")


def _value(name: str, value: Any) -> Any:
    if name == "path":
        return os.path.abspath(os.path.expanduser(value))
    if name == "port" and value.isascii() and value.isdecimal():
        return int(value)
    if name != "command":
        return value
    try:
        return shlex.split(value)
    except ValueError as error:
        raise InvalidInput(f"--command can't be split into words: {str(error).lower()}") from None
