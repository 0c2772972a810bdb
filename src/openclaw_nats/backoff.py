"""How long to wait after failures in a row."""

from __future__ import annotations

_MOST_DOUBLINGS = 32  # 2.0 ** 1024 is no number any more, and an outage of 18 minutes has as many failures


def wait_after(failures: int, first: float, longest: float) -> float:
    """Seconds to wait: `first` after the first failure (`failures` is 0), then twice as long each, to `longest`."""
    return float(min(longest, first * 2 ** min(failures, _MOST_DOUBLINGS)))
