"""A file of routes: read, written, and compared with the routes that there are."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from openclaw_nats.contract.command_line import RouteChange
from openclaw_nats.errors import SettingsError
from openclaw_nats.events.subjects import as_event
from openclaw_nats.text_formats import from_json, from_toml, without_dates
from openclaw_nats.url_secrets import MASK, masked, masked_value

_KINDS: dict[str, Literal["add", "change", "remove"]] = {"+": "add", "~": "change", "-": "remove"}

# What a file says of a route; the API adds more, which is shown only.
_FIELDS = (
    *(
        "name",
        "pattern",
        "target",
        "instruction",
        "when",
        "filter",
        "template",
        "payload",
        "priority",
        "enabled",
        "flow",
        "retry",
    ),
    *("confirm", "trusted", "tools", "guard", "expiresAfter", "until"),
)
_DEFAULTS: dict[str, Any] = {"enabled": True, "trusted": False, "confirm": "ok", "tools": "read", "guard": "ask"}
_SHOWN = 80  # characters of a value in a difference


@dataclass
class Change:
    """One route that is added (+), changed (~) or removed (-)."""

    mark: str
    name: str
    text: str
    route: dict[str, Any] = field(default_factory=dict)

    def for_machines(self) -> RouteChange:
        """The change as a struct."""
        return RouteChange(_KINDS[self.mark], self.name, self.text)


def read(path: Path) -> list[dict[str, Any]]:
    """The routes in a TOML file, or in JSON as `routes export --json` writes it; raise SettingsError with the place."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text("utf-8")
        found = from_json(text) if text.lstrip().startswith("{") else from_toml(text)
    except ValueError as error:
        raise SettingsError(f"{path} is not valid TOML or JSON: {error}") from None
    found = without_dates(found)
    routes = found.pop("route", None) or found.pop("routes", [])
    if found or not isinstance(routes, list):
        raise SettingsError(f"{path} may hold [[route]] tables only, not {', '.join(found) or 'route'}")
    names = [route.get("name") if isinstance(route, dict) else None for route in routes]
    for name in names:
        if not isinstance(name, str):
            raise SettingsError(f"{path}: a [[route]] has no name")
        if names.count(name) > 1:
            raise SettingsError(f"{path}: the route {name!r} appears twice")
    for route in routes:
        if isinstance(route.get("pattern"), str):
            route["pattern"] = as_event(route["pattern"])
    return routes


def document(route: dict[str, Any]) -> dict[str, Any]:
    """A route of the API as a file says it: without what has its default, and what is only shown."""
    found = {name: route[name] for name in _FIELDS if route.get(name) is not None}
    return {name: value for name, value in found.items() if name not in _DEFAULTS or value != _DEFAULTS[name]}


def toml(routes: list[dict[str, Any]]) -> str:
    """Routes as [[route]] tables; raise SettingsError for one with a null in it, for which TOML has no word."""
    parts = []
    for route in routes:
        try:
            lines = [f"{name} = {_toml(value)}" for name, value in document(route).items()]
        except TypeError:
            hint = "`openclaw-nats routes export --json` can."
            raise SettingsError(f"route {route['name']!r} holds a null, which TOML can't say", hint=hint) from None
        parts.append("\n".join(["[[route]]", *lines]))
    return "\n\n".join(parts)


def differences(wanted: list[dict[str, Any]], there: list[dict[str, Any]], *, prune: bool) -> list[Change]:
    """What has to change for the routes to be as wanted. Routes that agents have made are left alone."""
    present = {route["name"]: route for route in there}
    changes = []
    for route in wanted:
        old = present.get(route["name"])
        if old is None:
            text = f"{route.get('pattern')} → {shown(route.get('target'))}"
            changes.append(Change("+", route["name"], text, route))
        elif differing := _differing(old, route):
            changes.append(Change("~", route["name"], "; ".join(differing), route))
    if prune:
        names = {route["name"] for route in wanted}
        gone = [name for name, route in present.items() if name not in names and not route.get("madeBy")]
        changes += [Change("-", name, "is not in the file") for name in gone]
    return changes


def with_secrets(wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The routes whose file names a secret: whether it is the one in force can't be seen, since that is masked."""
    return [route for route in wanted if _masked(route.get("target")) != route.get("target")]


def shown(value: Any) -> str:
    """A value in a difference, short and without secrets."""
    text = json.dumps(_masked(value), ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _differing(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    before = {**_DEFAULTS, **document(old)}
    after = {**_DEFAULTS, **{name: value for name, value in new.items() if value is not None}}
    found = []
    for name in sorted(before.keys() | after.keys()):
        one, other = _masked(before.get(name)), _masked(after.get(name))
        if one != other:
            found.append(f"{name}: {shown(one)} → {shown(other)}")
    return found


def _masked(value: Any) -> Any:
    """A target without its secrets: those in force are never shown, so that they count only as there or not."""
    if not isinstance(value, dict) or not {"secret", "url"} & value.keys():
        return masked_value(value)
    found = dict(value)
    if found.get("secret"):
        found["secret"] = MASK
    if isinstance(found.get("url"), str):
        found["url"] = masked(found["url"])
    return found


def _toml(value: Any) -> str:
    """A value as TOML; raise TypeError for a null."""
    if value is None:
        raise TypeError
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, float):
        return repr(value)  # with a point or an exponent, as TOML wants it
    return json.dumps(value)


def _key(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else _string(text)


def _string(text: str) -> str:
    """A basic string: JSON's escapes are TOML's, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
