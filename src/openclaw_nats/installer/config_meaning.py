"""What an OpenClaw configuration says, apart from how it is written, and apart from what setup writes into it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

_OPENCLAWS_OWN = ("meta", "wizard")  # written by OpenClaw at every change
# What OpenClaw 2026.3 adds to a configuration that lacks it, whatever is changed.
_DEFAULTS = {
    "agents": {"defaults": {"compaction": {"mode": "safeguard"}}},
    "commands": {"native": "auto", "nativeSkills": "auto", "restart": True, "ownerDisplay": "raw"},
}
HOOKS = ("enabled", "token", "allowRequestSessionKey", "allowedSessionKeyPrefixes")  # what setup may set


def meaning(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration without what OpenClaw itself writes at every change, and without empty shells."""
    config = {key: _undefaulted(value, _DEFAULTS.get(key)) for key, value in config.items()}
    return {
        key: kept for key, value in config.items() if key not in _OPENCLAWS_OWN and not _empty(kept := _trim(value))
    }


def digest_without_ours(config: dict[str, Any], plugin: str) -> str:
    """A digest of what a configuration says apart from the entries of `plugin` and of the hooks that setup sets.

    Equal before and after a setup, unless somebody else has changed something meanwhile.
    """
    rest = without_plugin(config, plugin)
    if isinstance(rest.get("hooks"), dict):
        rest["hooks"] = {key: value for key, value in rest["hooks"].items() if key not in HOOKS}
    text = json.dumps(meaning(rest), sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def without_plugin(config: dict[str, Any], plugin: str) -> dict[str, Any]:
    """A configuration without the entries of one plugin."""
    plugins = config.get("plugins")
    if not isinstance(plugins, dict):
        return dict(config)
    return config | {"plugins": {key: _without(value, plugin) for key, value in plugins.items()}}


def _without(value: Any, name: str) -> Any:
    """A part of `plugins` (`entries`, `allow`, `installs`, ...) without one plugin."""
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if key != name}
    if isinstance(value, list):
        return [item for item in value if item != name]
    return value


def _undefaulted(value: Any, defaults: Any) -> Any:
    """A value without those parts that are as OpenClaw would write them by itself."""
    if not isinstance(value, dict) or not isinstance(defaults, dict):
        return value
    return {key: _undefaulted(item, defaults.get(key)) for key, item in value.items() if item != defaults.get(key, ...)}


def _trim(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: kept for key, item in value.items() if not _empty(kept := _trim(item))}
    return value


def _empty(value: Any) -> bool:
    return value in ({}, [])
