"""Notices that the wall clock was put back: what was noted by the wrong time must not hold anything until then."""

from __future__ import annotations

import time
from collections.abc import Callable

_NOTICED_SECONDS = 1.0  # less than this is what time synchronisation does all day


class ClockSteps:
    """Compares the wall clock with one that only goes on. A machine that slept looks like a step forward."""

    def __init__(self, clock: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._apart = self._now()

    def put_back(self) -> float:
        """By how many seconds the wall clock was put back since the last call; 0 when it was not."""
        before, self._apart = self._apart, self._now()
        return before - self._apart if before - self._apart > _NOTICED_SECONDS else 0.0

    def _now(self) -> float:
        return self._clock() - self._monotonic()
