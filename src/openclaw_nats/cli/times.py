"""The one way in which commands write a time: with its zone, as --since, --until and `timers set` take it."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo


def moment(text: str, zone: str | None = None) -> str:
    """An API's time (RFC 3339) to the second in a zone (IANA name), without one in this machine's; `-` for none."""
    if not text:
        return "-"
    try:
        found = datetime.fromisoformat(text).astimezone(ZoneInfo(zone) if zone else None)
    except (ValueError, OverflowError, OSError):
        return text
    return found.isoformat(timespec="seconds").removesuffix("+00:00") + ("Z" if not found.utcoffset() else "")
