"""Functions that the CEL interpreter lacks, or that differ there from the specification (cel-spec, langdef.md).

It asks for ours only where it has none for the given types. Where its own is another than the specification's
(`size` counts bytes, `string` of a time, a time's parts in its own zone), the call is renamed before compiling: the
name with `_` behind it is ours.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

logging.getLogger("cel").disabled = True  # it would log what our functions raise, which may quote an event

_PARTS: dict[str, Callable[[datetime], int]] = {
    "getFullYear": lambda at: at.year,
    "getMonth": lambda at: at.month - 1,
    "getDate": lambda at: at.day,
    "getDayOfMonth": lambda at: at.day - 1,
    "getDayOfWeek": lambda at: at.isoweekday() % 7,
    "getDayOfYear": lambda at: at.timetuple().tm_yday - 1,
    "getHours": lambda at: at.hour,
    "getMinutes": lambda at: at.minute,
    "getSeconds": lambda at: at.second,
    "getMilliseconds": lambda at: at.microsecond // 1000,
}
_LENGTHS = {
    "getHours": timedelta(hours=1),
    "getMinutes": timedelta(minutes=1),
    "getSeconds": timedelta(seconds=1),
    "getMilliseconds": timedelta(milliseconds=1),
}
_TRUTHS = {"1": True, "t": True, "true": True, "TRUE": True, "True": True}
_LIES = {"0": False, "f": False, "false": False, "FALSE": False, "False": False}
RENAMED = ("size", "string", *_PARTS)
_CALL = re.compile(rf"\b({'|'.join(RENAMED)})(?=\s*\()")
_OFFSET = re.compile(r"([+-]?)(\d\d):(\d\d)")


def renamed(source: str, bare: str) -> str:
    """The expression with the calls that are ours; `bare` is the same with its texts blanked."""
    parts, done = [], 0
    for call in _CALL.finditer(bare):
        parts += [source[done : call.end()], "_"]
        done = call.end()
    return "".join([*parts, source[done:]])


def _size(value: Any) -> int:
    if isinstance(value, str | bytes | list | dict | tuple):
        return len(value)
    raise ValueError(f"there is no size of {_kind(value)}")


def _string(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        seconds = value / timedelta(seconds=1)
        return f"{int(seconds) if seconds.is_integer() else seconds}s"
    if isinstance(value, bytes):
        return value.decode()
    raise ValueError(f"{_kind(value)} can't become text")


def _int(value: Any) -> int:
    if isinstance(value, datetime):
        return int(value.timestamp() // 1)
    raise ValueError(f"{_kind(value)} can't become int")


def _timestamp(value: Any) -> datetime:
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return datetime.fromtimestamp(value, UTC)
        except (ValueError, OverflowError, OSError):
            raise ValueError(f"{value} is not within the years 1 to 9999") from None
    raise ValueError(f"{_kind(value)} can't become a timestamp")


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and (found := (_TRUTHS | _LIES).get(value)) is not None:
        return found
    raise ValueError(f"{str(value)[:20]!r} is neither true nor false")


def _part(name: str) -> Callable[..., int]:
    def part(value: Any, zone: str | None = None) -> int:
        if isinstance(value, datetime):
            return _PARTS[name](value.astimezone(_zone(zone)))
        if isinstance(value, timedelta) and name in _LENGTHS and zone is None:
            if name == "getMilliseconds":  # of the second, with the duration's sign
                return int((abs(value) % timedelta(seconds=1)) / _LENGTHS[name]) * (-1 if value < timedelta() else 1)
            return int(value / _LENGTHS[name])
        raise ValueError(f"there is no {name}() of {_kind(value)}")

    return part


def _zone(name: str | None) -> tzinfo:
    if name is None:
        return UTC
    found = _OFFSET.fullmatch(name)
    if found and int(found[2]) < 24 and int(found[3]) < 60:
        offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
        return timezone(-offset if found[1] == "-" else offset)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"there is no time zone {name[:40]!r}") from None


def _kind(value: Any) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "a list", dict: "an object"}
    return "nothing" if value is None else names.get(type(value), type(value).__name__)


def functions(matches: Callable[[str, str], bool]) -> dict[str, Callable[..., Any]]:
    """All of them by the name under which they are registered; `matches` is the interpreter's own, as a method."""
    own = {f"{name}_": _part(name) for name in _PARTS}
    return {
        **own,
        "size_": _size,
        "string_": _string,
        "int": _int,
        "timestamp": _timestamp,
        "bool": _bool,
        "matches": matches,
    }
