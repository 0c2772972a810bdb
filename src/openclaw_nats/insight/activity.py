"""How much happened: events a minute are counted as long as the sidecar runs, and kept for the plots of a day."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Awaitable, Callable

from openclaw_nats.contract import views
from openclaw_nats.contract.fields import Window
from openclaw_nats.errors import Unavailable
from openclaw_nats.events.envelope import format_time
from openclaw_nats.storage import activity as rows
from openclaw_nats.storage.database import Database

SAMPLE_SECONDS = 10.0
HOUR = 3600
_MINUTE = 60 + SAMPLE_SECONDS / 2  # the sample that is nearest to a minute ago
KEPT_MINUTES = 25 * 60
WINDOWS: dict[Window, tuple[int, int]] = {"hour": (HOUR, 60), "day": (24 * HOUR, 900)}


class Activity:
    """Counts what the stream grew by. `last_sequence` asks for the stream's last sequence; None when it can't tell."""

    def __init__(
        self,
        database: Database,
        last_sequence: Callable[[], Awaitable[int | None]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._last_sequence = last_sequence
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque(maxlen=int(120 / SAMPLE_SECONDS))
        self._counting: tuple[int, int] | None = None  # the minute that is counted, and where it began
        self._began = 0.0

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            await self.sample()
            await asyncio.sleep(SAMPLE_SECONDS if self._samples else 1.0)

    async def sample(self) -> None:
        """Look at the stream once; a minute that is over is stored."""
        last, now = await self._last_sequence(), self._clock()
        if last is None or (self._samples and last < self._samples[-1][1]):
            self._samples.clear()  # away, or another stream: nothing can be said of the time between
            self._counting = None
            return
        self._samples.append((now, last))
        minute = int(now // 60)
        if self._counting is None:
            self._counting, self._began = (minute, last), now
        elif self._counting[0] != minute:
            over, began = self._counting
            self._counting, self._began = (minute, last), now
            try:
                await self._database.write(lambda db: rows.record(db, over, last - began, minute - KEPT_MINUTES))
            except Unavailable:
                return  # a gap in the plot; health reports the database

    def last_minute(self, last: int | None) -> int | None:
        """Events stored in about the last minute, by whomever, when the stream ends at `last`; None when not known."""
        now = self._clock()
        recent = [sequence for at, sequence in self._samples if now - at <= _MINUTE]
        if last is None or not recent or last < recent[0]:
            return None
        return last - recent[0]

    def events_per_second(self) -> float | None:
        """Over the last minute or so; None when that is not known yet."""
        if len(self._samples) < 2:
            return None
        (began, first), (ended, last) = self._samples[0], self._samples[-1]
        recent = [(at, sequence) for at, sequence in self._samples if ended - at <= 60]
        began, first = recent[0] if len(recent) > 1 else (began, first)
        return (last - first) / (ended - began) if ended > began else None

    async def window(self, name: Window) -> views.Activity:
        """The last `hour` or `day`: events a second (None: not counted) and turns in the hour up to each point."""
        seconds, step = WINDOWS[name]
        end = int(self._clock() // step + 1) * step
        begin = end - seconds
        stored = await self._database.read(lambda db: rows.minutes(db, begin // 60))
        counted = {minute: (events, 60.0) for minute, events in stored.items()}
        if self._counting is not None and self._samples:
            minute, first = self._counting
            at, last = self._samples[-1]
            if at - self._began >= SAMPLE_SECONDS / 2:  # the minute that is not over yet
                counted[minute] = (last - first, at - self._began)
        turns = await self._database.read(lambda db: rows.turns(db, begin - HOUR))
        times = list(range(begin, end, step))
        return views.Activity(
            window=name,
            step=step,
            begin=format_time(begin * 1000),
            events_per_second=[_rate(counted, at, step) for at in times],
            turns_per_hour=[_turns_until(turns, at + step) for at in times],
        )


def _rate(counted: dict[int, tuple[int, float]], at: int, step: int) -> float | None:
    found = [counted[minute] for minute in range(at // 60, (at + step) // 60) if minute in counted]
    return round(sum(events for events, _ in found) / sum(lasted for _, lasted in found), 4) if found else None


def _turns_until(turns: list[float], at: float) -> int:
    return bisect_right(turns, at) - bisect_right(turns, at - HOUR)
