"""The settings by name: for lists of all of them, and for a name that somebody typed. Code that knows which one it
wants uses the attribute: `settings.stream.max_age`."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import TypeVar

from openclaw_nats.errors import SettingsError
from openclaw_nats.settings.declaring import Setting, declared_in
from openclaw_nats.settings.kinds import Shown
from openclaw_nats.settings.model import Settings
from openclaw_nats.suggestions import did_you_mean

Holder = TypeVar("Holder")
REGISTRY = declared_in(Settings)
_BY_NAME = {one.name: one for one in REGISTRY}


def exists(name: str) -> bool:
    """Whether there is a setting of this name."""
    return name in _BY_NAME


def find(name: str) -> Setting:
    """The setting of this name; raise SettingsError, whose hint names the nearest one."""
    if name not in _BY_NAME:
        raise SettingsError(f"there is no setting {name!r}", hint=nearest(name))
    return _BY_NAME[name]


def nearest(name: str) -> str:
    """A hint for a setting that does not exist."""
    return did_you_mean(name, _BY_NAME, "`openclaw-nats config` lists all of them.")


def value_of(settings: Settings, name: str) -> object:
    """What a setting holds: seconds, bytes, tuples; raise SettingsError for a name that does not exist."""
    section, _, key = find(name).name.rpartition(".")
    holder: object = getattr(settings, section) if section else settings
    found: object = getattr(holder, key)
    return found


def shown(settings: Settings, name: str) -> Shown:
    """A setting as people write it: durations and sizes with their units, lists as lists; raise SettingsError."""
    return find(name).written(value_of(settings, name))


def changed(settings: Settings, values: Mapping[str, object]) -> Settings:
    """A copy with other values, which have been read by `Setting.parse`; raise SettingsError for an unknown name."""
    found = settings
    for name, value in values.items():
        section, _, key = find(name).name.rpartition(".")
        if section:
            holder: object = getattr(found, section)
            key, value = section, _with(holder, key, value)
        found = _with(found, key, value)
    return found


def _with(holder: Holder, key: str, value: object) -> Holder:
    """What `dataclasses.replace` does, for a name that only the caller knows."""
    made = copy(holder)
    object.__setattr__(made, key, value)  # frozen for everybody else
    return made
