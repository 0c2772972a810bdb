"""For how long everyone is told what left the stream before it was read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

_SHOWN = timedelta(days=7)


def recently_missed(delivery: dict[str, Any]) -> dict[str, Any] | None:
    """What was missed, from the delivery part of the health report: for a week; the metric and the event keep it."""
    missed: dict[str, Any] | None = delivery.get("missed")
    if missed and datetime.now(UTC) - datetime.fromisoformat(missed["lastAt"]) < _SHOWN:
        return missed
    return None
