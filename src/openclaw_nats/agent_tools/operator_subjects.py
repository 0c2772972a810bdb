"""The subjects of the operator's own jobs and timers, on which no agent may publish."""

from __future__ import annotations

import time
from collections.abc import Callable

from openclaw_nats.errors import Unsupported
from openclaw_nats.schedules.cron_book import CronBook
from openclaw_nats.schedules.timer_book import TimerBook

_FRESH_SECONDS = 1.0


class OperatorSubjects:
    """Reads them when they are asked for, at most once a second."""

    def __init__(self, cron: CronBook, timers: TimerBook, clock: Callable[[], float] = time.monotonic) -> None:
        self._cron = cron
        self._timers = timers
        self._clock = clock
        self._at = float("-inf")
        self._found: frozenset[str] = frozenset()

    async def get(self) -> frozenset[str]:
        """The subjects; none where NATS is too old for schedules. Raises Unavailable when NATS can't be asked."""
        now = self._clock()
        if now - self._at >= _FRESH_SECONDS:
            try:
                jobs = [job.subject for job in await self._cron.every() if job.stored.origin.maker is None]
                timers = [timer.subject for timer in await self._timers.every() if timer.maker is None]
            except Unsupported:
                return frozenset()
            self._found, self._at = frozenset(jobs + timers), now
        return self._found
