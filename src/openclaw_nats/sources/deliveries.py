"""Which deliveries are known, so that a repetition is answered as one.

A delivery is noted, and that is on disk, before its event is stored. That the event is stored needs no commit of its
own: it is written down together with the next delivery's note, or a moment later. Who is killed in between looks for
the event in the stream when the delivery comes again, as after any other interruption.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from openclaw_nats.errors import Unavailable
from openclaw_nats.storage import source_deliveries as rows
from openclaw_nats.storage.database import Connection, Database
from openclaw_nats.storage.source_deliveries import KnownDelivery

T = TypeVar("T")
MOST_KNOWN = 200_000  # rows of one source
_FORGET_SECONDS = 600.0
_LATER_SECONDS = 0.2
_MOST_NOTES = 10_000

Keys = Sequence[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class _Note:
    """An event that is stored."""

    source: str
    keys: Keys
    event_id: str
    subject: str
    now: float


class Deliveries:
    """The deliveries of all sources."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._notes: list[_Note] = []
        self._noted = asyncio.Event()

    async def run(self, now: float) -> None:
        """Write down what is noted, for as long as nothing has to be forgotten; `now` in Unix seconds."""
        await self._database.write(lambda db: rows.forget(db, now))
        loop = asyncio.get_running_loop()
        end = loop.time() + _FORGET_SECONDS
        while (left := end - loop.time()) > 0:
            try:
                async with asyncio.timeout(left):
                    await self._noted.wait()
            except TimeoutError:
                return
            await asyncio.sleep(_LATER_SECONDS)
            try:
                await self._write(lambda db: None)
            except Unavailable:  # the database has logged it
                await asyncio.sleep(1)

    async def begin(self, source: str, keys: Keys, event_id: str, subject: str, now: float) -> KnownDelivery:
        """Note a delivery, on disk; the one that is known, or this one. Raises Unavailable."""
        return await self._write(lambda db: rows.begin(db, source, keys, event_id, subject, now, MOST_KNOWN))

    def stored(self, source: str, keys: Keys, event_id: str, subject: str, now: float) -> None:
        """Its event is in the stream. Whoever asks from now on hears it."""
        self._notes.append(_Note(source, keys, event_id, subject, now))
        self._noted.set()

    async def never_sent(self, source: str, event_id: str) -> None:
        """It was surely not stored: nobody has to look for it."""
        await self._database.write(lambda db: rows.never_sent(db, source, event_id))

    async def forget(self, source: str) -> None:
        """The source is gone, or a new one: its deliveries begin anew."""
        self._notes = [note for note in self._notes if note.source != source]
        await self._database.write(lambda db: rows.forget_source(db, source))

    async def _write(self, job: Callable[[Connection], T]) -> T:
        """Run a job behind what is noted, in the same transaction."""
        notes, self._notes = self._notes, []
        self._noted.clear()

        def both(db: Connection) -> T:
            for one in notes:
                rows.note_stored(db, one.source, one.keys, one.event_id, one.subject, one.now)
            return job(db)

        try:
            return await self._database.write(both)
        except BaseException:  # also who was cancelled does not know whether it was written: twice is as good as once
            self._notes = [*notes, *self._notes][-_MOST_NOTES:]
            if self._notes:
                self._noted.set()
            raise
