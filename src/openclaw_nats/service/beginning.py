"""When this state directory began to seal, which is written down once: what is older can have no seal.

With it goes which ticks of our own lay armed in the schedules stream at that time: they fire later, without a seal.
"""

from __future__ import annotations

import time
from typing import Protocol

import msgspec
import structlog

from openclaw_nats.errors import InvalidInput, Unavailable, Unsupported
from openclaw_nats.events import envelope
from openclaw_nats.events.seals import SEAL, Seals
from openclaw_nats.ports import Record, ScheduleLog
from openclaw_nats.schedules import names
from openclaw_nats.storage import inbox
from openclaw_nats.storage.database import Connection, Database

log = structlog.get_logger(__name__)

_UNTIL = "unsealed until"
_ARMED = "armed without a seal"


class Clock(Protocol):
    """The stream's clock."""

    @property
    def known(self) -> bool:
        """Whether the stream's time was heard."""

    def now(self) -> float:
        """Seconds since the Unix epoch."""


class Beginning:
    """Knows it from the database, or notes it as soon as NATS can be asked."""

    def __init__(
        self, database: Database, seals: Seals, schedule_log: ScheduleLog, clock: Clock, gateway_id: str
    ) -> None:
        self._database = database
        self._seals = seals
        self._log = schedule_log
        self._clock = clock
        self._gateway_id = gateway_id
        self._done = False
        self._started = time.monotonic()
        self._take(*database.now(lambda db: (inbox.fact(db, _UNTIL), inbox.fact(db, _ARMED))))

    async def ensure(self) -> None:
        """Return when it is known. Raises Unavailable when NATS or the database can't be asked."""
        if self._done:
            return
        try:
            records = [one for pattern in (*names.TICKS, *names.TIMERS) for one in await self._log.read(pattern)]
        except Unsupported:
            records = []  # this NATS has no schedules
        if not self._clock.known:
            raise Unavailable("the stream's time is not known yet")
        # What came after the start of this process is not older, however long NATS was away meanwhile.
        until = str(int((self._clock.now() - (time.monotonic() - self._started)) * 1e9))
        armed = msgspec.json.encode([mark for one in records if (mark := self._mark(one))]).decode()

        def job(db: Connection) -> None:
            inbox.set_fact(db, _ARMED, armed)
            inbox.set_fact(db, _UNTIL, until)

        await self._database.write(job)
        self._take(until, armed)
        log.info("seals.begun", armed=len(self._seals.armed))

    def _mark(self, record: Record) -> str:
        """What an armed message without a seal is known by when it fires; empty for another Gateway's."""
        try:
            event = envelope.decode(record.body)
        except InvalidInput:
            return ""
        ours = SEAL not in record.headers and event.gatewayid == self._gateway_id
        return self._seals.mark(event.subject, record.body) if ours else ""

    def _take(self, until: str, armed: str) -> None:
        if until:
            self._seals.unsealed_until = int(until)
            self._seals.armed = frozenset(msgspec.json.decode(armed or "[]", type=list[str]))
            self._done = True
