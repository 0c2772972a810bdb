"""The Node that runs `openclaw`, and the one that its package asks for (`engines.node` in its package.json)."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

_SECONDS = 20
_TERM = re.compile(r"(>=|<=|<|>|\^|~|=)?\s*v?(\d+)(?:\.(\d+|x|\*))?(?:\.(\d+|x|\*))?\S*")
_LEVELS = 4  # folders from the command to its package.json

Version = tuple[int, int, int]


def package_of(command: str) -> dict[str, object]:
    """The package.json of the OpenClaw that a command belongs to; empty for a wrapper that hides it."""
    for folder in list(Path(os.path.realpath(command)).parents)[:_LEVELS]:
        try:
            found = json.loads((folder / "package.json").read_text("utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(found, dict) and found.get("name") == "openclaw":
            return found
    return {}


def problem(command: str) -> str:
    """Why the Node on PATH can't run this `openclaw`; empty when it can, or when that can't be seen from outside."""
    engines = package_of(command).get("engines")
    wanted = str(engines.get("node", "")) if isinstance(engines, dict) else ""
    if not wanted or not _asks_env_for_node(command):
        return ""
    node = shutil.which("node")
    if node is None:
        return f"`node` is not on PATH, and {command} needs Node {wanted}"
    version = node_version(node)
    if version and not satisfies(version, wanted):
        return f"{command} needs Node {wanted}, and {node} is {'.'.join(map(str, version))}"
    return ""


def node_version(node: str) -> Version | None:
    """The version of a Node; None when it does not say."""
    try:
        done = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.match(r"v(\d+)\.(\d+)\.(\d+)", done.stdout)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def satisfies(version: Version, wanted: str) -> bool:
    """Whether a version is in a range as npm writes it; a range that we can't read holds every version."""
    for choice in wanted.split("||"):
        terms = list(_TERM.finditer(choice))
        if not terms or all(_term(version, term) for term in terms):
            return True
    return False


def _term(version: Version, term: re.Match[str]) -> bool:
    operator, numbers = term[1] or "", [int(one) for one in term.groups()[1:] if one is not None and one.isdecimal()]
    low: Version = (numbers[0], *[*numbers[1:], 0, 0][:2])  # type: ignore[assignment]
    if operator == ">=":
        return version >= low
    if operator == "<":
        return version < low
    if operator == "<=":
        return version[: len(numbers)] <= tuple(numbers)
    if operator == ">":
        return version[: len(numbers)] > tuple(numbers)
    if operator == "^":
        return version >= low and version[0] == low[0]
    if operator == "~":
        return version >= low and version[:2] == low[:2]
    return version[: len(numbers)] == tuple(numbers)


def _asks_env_for_node(command: str) -> bool:
    try:
        with Path(os.path.realpath(command)).open("rb") as file:
            first = file.readline(200)
    except OSError:
        return False
    return first.startswith(b"#!") and first.split()[-1:] == [b"node"]
