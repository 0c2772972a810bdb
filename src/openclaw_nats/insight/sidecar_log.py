"""The sidecar's own log file, newest line first: what went wrong, and when. Reads block: not for the event loop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from openclaw_nats.contract.views import SidecarLine

LEVELS = ("error", "warning", "info")
MAX_READ = 4 * 1024 * 1024  # bytes of each of the two files, at most
_PIECE = 64 * 1024
_USUAL = ("timestamp", "level", "logger", "event")


def lines(file: Path, level: str, search: str, limit: int) -> list[SidecarLine]:
    """The newest lines of at least this level that hold `search`: time, level, what, details. Never raises.

    Files are read backwards, and no further than `limit` lines need. Lines of a level that is not wanted are passed
    over without being parsed: what they hold is distinguished by their text first.
    """
    wanted = {*LEVELS[: LEVELS.index(level) + 1], "critical"}
    marks = [f'"{one}"'.encode() for one in wanted]
    sought = search.lower()
    found: list[SidecarLine] = []
    for path in (file, file.with_name(file.name + ".1")):
        for text in backwards(path, MAX_READ):
            if not any(mark in text for mark in marks):
                continue
            if sought and sought not in text.decode("utf-8", "replace").lower():
                continue
            line = _parsed(text)
            if line is None or line.get("level") not in wanted:
                continue
            found.append(
                SidecarLine(
                    at=str(line.get("timestamp", "")),
                    level=line["level"],
                    what=str(line.get("event", "")),
                    details={key: value for key, value in line.items() if key not in _USUAL},
                )
            )
            if len(found) >= limit:
                return found
    return found


def backwards(path: Path, most: int, end: int | None = None) -> Iterator[bytes]:
    """The whole lines in the last `most` bytes of a file (before `end`), the last first; none of an unreadable file."""
    try:
        with path.open("rb") as file:
            at = file.seek(0, 2) if end is None else end
            first = max(0, at - most)
            rest = b""
            while at > first:
                start = max(first, at - _PIECE)
                file.seek(start)
                parts = (file.read(at - start) + rest).split(b"\n")
                at, rest = start, parts[0]
                yield from (part for part in reversed(parts[1:]) if part)
            if first == 0 and rest:
                yield rest
    except OSError:
        return


def _parsed(text: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) else None
