"""Hours of the day in which nothing goes out, in a time zone with its summer time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class QuietHours:
    """From `start` to `end`, minutes after local midnight; `start` > `end` goes over midnight."""

    start: int
    end: int
    zone: ZoneInfo

    def until(self, now: float) -> float | None:
        """When the present quiet time ends (seconds since the Unix epoch); None outside of it."""
        local = datetime.fromtimestamp(now, UTC).astimezone(self.zone)
        minute = local.hour * 60 + local.minute
        if self.start < self.end:
            quiet, tomorrow = self.start <= minute < self.end, False
        else:
            quiet, tomorrow = minute >= self.start or minute < self.end, minute >= self.start
        if not quiet:
            return None
        day = local.date() + timedelta(days=1 if tomorrow else 0)
        end = datetime(day.year, day.month, day.day, self.end // 60, self.end % 60, tzinfo=self.zone)
        moment = end.timestamp()
        # An end inside the repeated autumn hour is meant twice; one that the clock skips in spring is read an hour off.
        return moment if moment > now else moment + 3600

    def __str__(self) -> str:
        return f"until {self.end // 60:02d}:{self.end % 60:02d} {self.zone.key}"
