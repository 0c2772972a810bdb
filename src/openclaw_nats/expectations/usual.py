"""What is usual, worked out of a history: how long a run may take, and for how long a Gateway may say nothing."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

LONG, UNENDED, SILENT = "watchdog-run-long", "watchdog-run-unended", "watchdog-gateway-silent"
ABOUT = {
    LONG: "a run takes longer than usual for its agent",
    UNENDED: "a run has no end",
    SILENT: "the Gateway is up, and its events have stopped",
}
MIN_RUNS = 20
MIN_EVENTS = 200
MIN_WATCHED_SECONDS = 14 * 86400.0
UNENDED_SECONDS = 6 * 3600.0
KEPT_PAUSES_SECONDS = 28 * 86400.0
_LONG_FLOOR = 300.0
_SPREADS = 6.0
_DEVIATION = 1.4826  # times the median distance from the median: the standard deviation, where lengths are normal
_OUTLIERS = 50  # one run in so many may take as long as it likes, and is no measure
_SILENT_FLOOR = 3600.0
_SILENT_FACTOR = 3.0


def longest_usual_run(lengths: Sequence[float]) -> float | None:
    """Up to how many seconds a run takes no longer than usual; None while too little is known."""
    if len(lengths) < MIN_RUNS:
        return None
    middle = statistics.median(lengths)
    spread = _DEVIATION * statistics.median(abs(one - middle) for one in lengths)
    longest = sorted(lengths)[-1 - len(lengths) // _OUTLIERS]  # where a few long ones belong to what is usual
    return max(_LONG_FLOOR, middle + _SPREADS * spread, longest)


def longest_usual_silence(events: int, watched: float, pauses: Sequence[float]) -> float | None:
    """For how many seconds no event may come; None while too little is known."""
    if events < MIN_EVENTS or watched < MIN_WATCHED_SECONDS:
        return None
    return max(_SILENT_FLOOR, _SILENT_FACTOR * max(pauses, default=0.0))
