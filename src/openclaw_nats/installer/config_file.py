"""`config.toml` changed in place: an operator's comments, order, dotted keys and line ends stay."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Array, InlineTable, Item
from tomlkit.toml_document import TOMLDocument

from openclaw_nats.errors import SettingsError
from openclaw_nats.service.files import write_private
from openclaw_nats.settings import check_value, read_toml
from openclaw_nats.text_formats import from_toml

_HEADER = "# Settings of openclaw-nats. `openclaw-nats config` lists all of them with their meaning.\n"


def set_values(path: Path, values: Mapping[str, str]) -> bool:
    """Set settings given as text; True when the file changed. Raises SettingsError before anything is written."""
    wanted = {name: check_value(name, text) for name, text in values.items()}
    found = read_toml(path)
    changes = {name: value for name, value in wanted.items() if not _same(_held(found, name), value)}
    if path.exists() and not changes:
        return False
    old = path.read_bytes().decode("utf-8-sig") if path.exists() else _HEADER
    try:
        text = _changed(old, changes)
        right = from_toml(text)
    except (TOMLKitError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise _by_hand(path, str(error)) from None
    for name, value in changes.items():
        _put(found, name, value)
    if right != found:
        raise _by_hand(path, f"another setting than {', '.join(changes)} would change")
    write_private(path, text)
    return True


def _by_hand(path: Path, reason: str) -> SettingsError:
    return SettingsError(f"{path} can't be changed automatically: {reason}", hint="Edit it by hand.")


def _changed(old: str, changes: Mapping[str, object]) -> str:
    """The file's text with other values; with the line ends that it has."""
    windows = old.count("\r\n") == old.count("\n") > 0
    document = tomlkit.parse(old.replace("\r\n", "\n") if windows else old)
    for name, value in changes.items():
        _set(document, name, value)
    text = tomlkit.dumps(document)
    return text.replace("\n", "\r\n") if windows else text


def _set(document: TOMLDocument, name: str, value: object) -> None:
    section, _, key = name.rpartition(".")
    if section and section not in document:
        document[section] = tomlkit.table()
    holder = document[section] if section else document
    if not isinstance(holder, dict):
        raise TypeError(f"{section} is no table")
    if isinstance(holder.get(key), AoT):  # as a value it has to stand before the tables
        del holder[key]
    holder[key] = _item(value)


def _item(value: object) -> Item:
    """A value in TOML; tables in a list are inline, so that the list stays on the line of its key."""
    if isinstance(value, list):
        array: Array = tomlkit.array()
        for one in value:
            array.append(_item(one))
        return array
    if isinstance(value, dict):
        table: InlineTable = tomlkit.inline_table()
        for key, inside in value.items():
            table.append(key, _item(inside))
        return table
    return tomlkit.item(value)


def _held(found: Mapping[str, object], name: str) -> object:
    section, _, key = name.rpartition(".")
    holder = found.get(section) if section else found
    return holder.get(key) if isinstance(holder, dict) else None


def _put(found: dict[str, object], name: str, value: object) -> None:
    section, _, key = name.rpartition(".")
    holder = found.setdefault(section, {}) if section else found
    if isinstance(holder, dict):
        holder[key] = value


def _same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other
