"""Lines of the three logs as one story: when each was written, and how people read it."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from openclaw_nats.insight.sidecar_log import backwards

MAX_READ = 64 << 20  # bytes of each file, from its end
_READ_BYTES = 1 << 20  # at once
_NATS = re.compile(r"\[\d+\] (\d{4})/(\d\d)/(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))? (.*)")
_UP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)) (.*)")
_USUAL = ("timestamp", "level", "logger", "event")


@dataclass(frozen=True)
class LogLine:
    """One line. `at` is when (of a line without a time: when the one before it); `shown` has the time taken off."""

    at: datetime
    log: str
    text: str
    shown: str


def parsed(log: str, lines: Iterable[str], before: datetime | None = None) -> Iterator[LogLine]:
    """The lines of one file with their times; a line that has none belongs to the one before it."""
    last = before or datetime.fromtimestamp(0, UTC)
    for line in lines:
        text = line.rstrip()
        if not text:
            continue
        at, shown = _read(text)
        last = at or last
        yield LogLine(last, log, text, shown)


def newest(file: Path, count: int) -> tuple[list[str], int]:
    """The last `count` whole lines of a file, and the offset behind them; nothing when it can't be read."""
    try:
        with file.open("rb") as opened:
            size = opened.seek(0, 2)
            opened.seek(max(0, size - _READ_BYTES))
            unfinished = opened.read(_READ_BYTES).rpartition(b"\n")[2]  # a line that is being written
    except OSError:
        return [], 0
    end = size - len(unfinished)
    lines = list(itertools.islice(backwards(file, MAX_READ, end), count))
    return [line.decode("utf-8", "replace") for line in reversed(lines)], end


def added(file: Path, offset: int) -> tuple[list[str], int]:
    """The whole lines that were written behind `offset`, and the new offset; a file that was rotated begins again."""
    try:
        with file.open("rb") as opened:
            if opened.seek(0, 2) < offset:
                offset = 0
            opened.seek(offset)
            data = opened.read(_READ_BYTES)
    except OSError:
        return [], 0
    whole = data[: data.rfind(b"\n") + 1]
    return whole.decode("utf-8", "replace").splitlines(), offset + len(whole)


def _read(text: str) -> tuple[datetime | None, str]:
    """When the line was written, and what is shown of it."""
    if text.startswith("{"):
        return _structured(text)
    if match := _NATS.fullmatch(text):
        year, month, day, hour, minute, second = map(int, match.groups()[:6])
        try:
            at = datetime(year, month, day, hour, minute, second, int((match[7] or "0").ljust(6, "0"))).astimezone()
        except (ValueError, OverflowError):
            return None, text
        return at, match[8]
    if match := _UP.fullmatch(text):
        return _time(match[1]), match[2]
    return None, text


def _structured(text: str) -> tuple[datetime | None, str]:
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None, text
    if not isinstance(found, dict):
        return None, text
    details = " ".join(f"{key}={_value(value)}" for key, value in found.items() if key not in _USUAL)
    head = f"{found.get('level', '')!s:7} {found.get('event', '')}"
    return _time(str(found.get("timestamp", ""))), f"{head} {details}".rstrip()


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
