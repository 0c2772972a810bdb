"""The sidecar's own log file, newest line first: what went wrong, and when."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LEVELS = ("error", "warning", "info")
MAX_READ = 4 * 1024 * 1024
_USUAL = ("timestamp", "level", "logger", "event")


def lines(file: Path, level: str, search: str, limit: int) -> list[dict[str, Any]]:
    """The newest lines of at least this level that hold `search`: time, level, what, details. Never raises."""
    wanted = set(LEVELS[: LEVELS.index(level) + 1])
    found: list[dict[str, Any]] = []
    for path in (file, file.with_name(file.name + ".1")):
        for text in reversed(_tail(path)):
            line = _parsed(text)
            if line is None or line.get("level") not in wanted | ({"critical"} if "error" in wanted else set()):
                continue
            if search and search.lower() not in text.lower():
                continue
            found.append(
                {
                    "at": str(line.get("timestamp", "")),
                    "level": line["level"],
                    "what": str(line.get("event", "")),
                    "details": {key: value for key, value in line.items() if key not in _USUAL},
                }
            )
            if len(found) >= limit:
                return found
    return found


def _tail(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            size = file.tell()
            file.seek(max(0, size - MAX_READ))
            text = file.read(MAX_READ).decode("utf-8", "replace")
    except OSError:
        return []
    kept = text.splitlines()
    return kept[1:] if size > MAX_READ else kept


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None
