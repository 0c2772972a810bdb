"""Which deliveries are known, so that a repetition is answered as one.

A delivery is noted, and that is on disk, before its event is stored. All that wait at the same moment are noted
together: a commit costs the same for many, and each statement lets the database's thread and the event loop wait for
one another.

That the event is stored needs no commit of its own: it is written down together with the next note, or a moment later.
Who is killed in between looks for the event in the stream when the delivery comes again, as after any other
interruption.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from openclaw_nats.errors import Unavailable
from openclaw_nats.storage import source_deliveries as rows
from openclaw_nats.storage.database import Connection, Database
from openclaw_nats.storage.source_deliveries import KnownDelivery, NewDelivery

MOST_KNOWN = 200_000  # rows of one source
_FORGET_SECONDS = 600.0
_LATER_SECONDS = 0.2
_MOST_NOTES = 10_000
_TOGETHER = 256

_Waiting = tuple[NewDelivery, "asyncio.Future[KnownDelivery]"]


class Deliveries:
    """The deliveries of all sources."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[_Waiting] = []
        self._works: asyncio.Task[None] | None = None
        self._stored: list[tuple[NewDelivery, KnownDelivery]] = []
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
                await self._write([])
            except Unavailable:  # the database has logged it
                await asyncio.sleep(1)

    async def begin(self, delivery: NewDelivery) -> KnownDelivery:
        """Note a delivery, on disk; the one that is known, or this one. Raises Unavailable."""
        future: asyncio.Future[KnownDelivery] = asyncio.get_running_loop().create_future()
        self._waiting.append((delivery, future))
        if self._works is None or self._works.done():
            self._works = asyncio.create_task(self._work(), name="front-door-notes")
        return await future

    def stored(self, delivery: NewDelivery, known: KnownDelivery) -> None:
        """The event of a known delivery is in the stream. Whoever asks from now on hears it."""
        self._stored.append((delivery, known))
        self._noted.set()

    async def never_sent(self, source: str, event_id: str) -> None:
        """It was surely not stored: nobody has to look for it."""
        await self._database.write(lambda db: rows.never_sent(db, source, event_id))

    async def forget(self, source: str) -> None:
        """The source is gone, or a new one: its deliveries begin anew."""
        self._stored = [one for one in self._stored if one[0].source != source]
        await self._database.write(lambda db: rows.forget_source(db, source))

    async def _work(self) -> None:
        """Note what waits, as much together as has come, until nothing does."""
        while self._waiting:
            group, self._waiting = self._waiting[:_TOGETHER], self._waiting[_TOGETHER:]
            try:
                found = await self._write([delivery for delivery, _ in group])
            except BaseException as error:
                for _, future in group:
                    if not future.done():
                        future.set_exception(Unavailable("it was not noted") if _ends(error) else error)
                if _ends(error):
                    raise
                continue
            for (_, future), one in zip(group, found, strict=True):
                if not future.done():  # else who waited is gone
                    future.set_result(one)

    async def _write(self, deliveries: Sequence[NewDelivery]) -> list[KnownDelivery]:
        """Write down what is stored, and behind that note deliveries, in one transaction."""
        stored, self._stored = self._stored, []
        self._noted.clear()

        def job(db: Connection) -> list[KnownDelivery]:
            rows.note_stored(db, stored)
            return [rows.begin(db, one, MOST_KNOWN) for one in deliveries]

        try:
            return await self._database.write(job)
        except BaseException:  # also who was cancelled does not know whether it was written: twice is as good as once
            self._stored = [*stored, *self._stored][-_MOST_NOTES:]
            if self._stored:
                self._noted.set()
            raise


def _ends(error: BaseException) -> bool:
    return not isinstance(error, Exception)
