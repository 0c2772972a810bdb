"""A schedules stream in memory. It passes the same contract as JetStream's (tests/contract/test_schedule_log.py)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from openclaw_nats.errors import Conflict, Unavailable
from openclaw_nats.events.lateness import headers_for
from openclaw_nats.events.subjects import matches
from openclaw_nats.ports import Arm, Record


class MemorySchedules:
    """The port ScheduleLog without a server. `clock` is the server's; while it is `away` nothing fires."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._records: dict[str, Record] = {}
        self._armed: dict[str, Arm] = {}
        self._sequence = 0
        self._away = False
        self._back = 0.0  # since when the server is there

    @property
    def away(self) -> bool:
        return self._away

    @away.setter
    def away(self, away: bool) -> None:
        if not away and self._away:
            self._back = self._clock()
        self._away = away

    async def read(self, pattern: str) -> list[Record]:
        self._now()
        found = [one for one in self._records.values() if matches(pattern, one.subject)]
        return sorted(found, key=lambda one: one.sequence)

    async def last(self, pattern: str) -> Record | None:
        found = await self.read(pattern)
        return found[-1] if found else None

    async def subjects(self, pattern: str) -> list[str]:
        return [one.subject for one in await self.read(pattern)]

    async def write(
        self,
        subject: str,
        body: bytes,
        *,
        revision: int | None = None,
        alone: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> int:
        self._now()
        known = self._records.get(subject)
        if revision is not None and (known.sequence if known is not None else 0) != revision:
            raise Conflict("somebody else changed it at the same moment")
        if alone and any(matches(alone, one) for one in self._records):
            raise Conflict("somebody else changed it at the same moment")
        return self._put(subject, body, headers or {}, self._clock())

    async def arm(self, arms: Sequence[Arm]) -> list[bool]:
        self._now()
        done = []
        for one in arms:
            free = not one.alone or not any(matches(one.alone, known) for known in self._records)
            done.append(free)
            if free:
                headers = {**one.headers, **(headers_for(one.at, one.keep) if one.keep is not None else {})}
                self._put(one.subject, one.body, headers, self._clock())
                self._armed[one.subject] = one
        return done

    async def purge(self, pattern: str, keep: int = 0) -> int:
        found = await self.read(pattern)
        gone = found[: max(0, len(found) - keep)]
        for one in gone:
            del self._records[one.subject]
            self._armed.pop(one.subject, None)
        return len(gone)

    def _now(self) -> None:
        """Fire what is due, as the server does when nobody asks."""
        if self.away:
            raise Unavailable("the server is away")
        now = self._clock()
        for one in sorted(self._armed.values(), key=lambda arm: arm.at):
            if one.at <= now:
                record = self._records.pop(one.subject)
                del self._armed[one.subject]
                self._put(one.target, record.body, record.headers, max(one.at, record.time, self._back))

    def _put(self, subject: str, body: bytes, headers: Mapping[str, str], at: float) -> int:
        self._sequence += 1
        self._armed.pop(subject, None)
        self._records[subject] = Record(subject, self._sequence, body, dict(headers), at)
        return self._sequence
