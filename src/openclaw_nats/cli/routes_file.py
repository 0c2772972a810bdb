"""A file of routes, and how it differs from the routes that there are."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openclaw_nats.errors import SettingsError

# What the API adds to a route; it is not part of what a file says.
_SHOWN_ONLY = ("conditions", "resolvedTarget", "madeBy", "createdAt", "updatedAt", "counts")
_DEFAULTS: dict[str, Any] = {"enabled": True, "trusted": False, "confirm": "ok"}


@dataclass
class Change:
    """One route that is added (+), changed (~) or removed (-)."""

    mark: str
    name: str
    text: str
    route: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The change for machines."""
        kinds = {"+": "add", "~": "change", "-": "remove"}
        return {"change": kinds[self.mark], "route": self.name, "detail": self.text}


def read(path: Path) -> list[dict[str, Any]]:
    """The routes in a TOML file; raise SettingsError that says where it is wrong."""
    try:
        found = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from None
    routes = found.pop("route", [])
    if found or not isinstance(routes, list):
        raise SettingsError(f"{path} may hold [[route]] tables only, not {', '.join(found) or 'route'}")
    names = [route.get("name") for route in routes]
    for name in names:
        if not isinstance(name, str):
            raise SettingsError(f"{path}: a [[route]] has no name")
        if names.count(name) > 1:
            raise SettingsError(f"{path}: the route {name!r} is there twice")
    return routes


def differences(wanted: list[dict[str, Any]], there: list[dict[str, Any]], *, prune: bool) -> list[Change]:
    """What has to change for the routes to be as wanted."""
    present = {route["name"]: route for route in there}
    changes = []
    for route in wanted:
        old = present.get(route["name"])
        if old is None:
            changes.append(
                Change("+", route["name"], f"{route.get('pattern')} → {json.dumps(route.get('target'))}", route)
            )
        elif differing := _differing(old, route):
            changes.append(Change("~", route["name"], "; ".join(differing), route))
    if prune:
        names = {route["name"] for route in wanted}
        changes += [Change("-", name, "is not in the file") for name in present if name not in names]
    return changes


def _differing(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    before = {**_DEFAULTS, **{key: value for key, value in old.items() if key not in _SHOWN_ONLY}}
    after = {**_DEFAULTS, **new}
    found = []
    for name in sorted(before.keys() | after.keys()):
        one, other = before.get(name), after.get(name)
        if name == "target":
            one, other = _comparable(one), _comparable(other)
        if one != other:
            found.append(f"{name}: {_short(before.get(name))} → {_short(after.get(name))}")
    return found


def _comparable(target: Any) -> Any:
    """A target whose secret counts only as there or not: the one in force is not shown."""
    if isinstance(target, dict) and target.get("secret"):
        return {**target, "secret": True}
    return target


def _short(value: Any) -> str:
    if isinstance(value, dict) and "secret" in value:
        value = {**value, "secret": "***"}
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:79] + "…"
