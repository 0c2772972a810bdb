"""What HTTP answers mean to a sender."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

LONGEST_RETRY_AFTER = 3600.0


def retry_after(headers: Mapping[str, str], clock: float | None = None) -> float:
    """Seconds that a `Retry-After` header asks for, as a number or a date; 0 without one, at most an hour."""
    value = headers.get("Retry-After", "").strip()
    if not value:
        return 0.0
    if value.isascii() and value.isdigit():
        return min(float(value), LONGEST_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(value).timestamp()
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return min(max(0.0, moment - (time.time() if clock is None else clock)), LONGEST_RETRY_AFTER)
