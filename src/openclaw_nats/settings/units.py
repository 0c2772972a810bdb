"""Durations and sizes as people write them: `30s`, `7d`, `256MiB`."""

from __future__ import annotations

import re

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB|TiB)?")
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def parse_duration(value: object) -> float:
    """Seconds of a duration such as `500ms`, `30s`, `10m`, `2h`, `7d`; raise ValueError otherwise."""
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if not match:
        raise ValueError("a duration such as 30s, 10m, 2h or 7d")
    return float(match[1]) * _SECONDS[match[2]]


def parse_size(value: object) -> int:
    """Bytes of a size such as `256MiB` or `4GiB`; raise ValueError otherwise."""
    match = _SIZE.fullmatch(str(value).strip())
    if not match:
        raise ValueError("a size such as 256MiB or 4GiB")
    return int(match[1]) * _BYTES[match[2] or "B"]


def format_duration(seconds: float) -> str:
    """Seconds as `parse_duration` reads them, in the largest unit that is exact."""
    for unit in ("d", "h", "m", "s"):
        if seconds >= _SECONDS[unit] and seconds % _SECONDS[unit] == 0:
            return f"{int(seconds / _SECONDS[unit])}{unit}"
    return f"{round(seconds * 1000)}ms"


def format_size(count: int) -> str:
    """Bytes as `parse_size` reads them, in the largest unit that is exact."""
    unit = next(
        unit
        for unit in ("TiB", "GiB", "MiB", "KiB", "B")
        if (count % _BYTES[unit] == 0 and count >= _BYTES[unit]) or unit == "B"
    )
    return f"{count // _BYTES[unit]}{unit}"
