"""Where OpenClaw keeps its things, by its own variables (OpenClaw's docs, help/environment.md)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_UNSET = ("", "undefined", "null")  # what OpenClaw takes for an unset OPENCLAW_HOME


def home_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """What OpenClaw takes for the home directory: `$OPENCLAW_HOME` (`~` in it is the user's own), else the user's."""
    own = environment.get("HOME", "").strip()
    user = Path(own).absolute() if own else Path.home()
    given = environment.get("OPENCLAW_HOME", "").strip()
    if given in _UNSET:
        return user
    if given == "~" or given.startswith("~/"):
        return Path(os.path.normpath(user / given[2:]))
    return Path(os.path.abspath(given))


def expand_home(path: str, environment: Mapping[str, str] = os.environ) -> Path:
    """A path as OpenClaw understands it, absolute: `~` is its home directory."""
    if path == "~" or path.startswith("~/"):
        return Path(os.path.normpath(home_dir(environment) / path[2:]))
    return Path(os.path.abspath(path))


def state_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """OpenClaw's state directory: `$OPENCLAW_STATE_DIR`, else `.openclaw` in its home directory."""
    given = environment.get("OPENCLAW_STATE_DIR", "").strip()
    return expand_home(given, environment) if given else home_dir(environment) / ".openclaw"
