"""Which deliveries are known, so that a repetition is answered as one.

A delivery is noted before its event is stored, so that no kill stores it twice. All that come at the same moment are
noted together, at once and without a wait for the disk, on which they are a moment later: a commit that is forced to
disk would cost each of them more than its event does. While somebody else writes they wait, in the database's thread.

That the event is stored needs no commit of its own: it is known here at once, and written down a moment later, for many
together. Who is killed in between looks for the event in the stream when the delivery comes again, as after any other
interruption.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

from openclaw_nats.errors import Unavailable
from openclaw_nats.storage import source_deliveries as rows
from openclaw_nats.storage import source_signatures as signatures
from openclaw_nats.storage.database import Connection, Database
from openclaw_nats.storage.source_deliveries import KnownDelivery, NewDelivery

MOST_KNOWN = 200_000  # rows of one source
_FORGET_SECONDS = 600.0
_LATER_SECONDS = 1.0
_MOST_STORED = 10_000  # that wait to be written down: a disk may be full
_TOGETHER = 256
_SELDOM = 1000  # deliveries: to count all of a source takes time

_Waiting = tuple[NewDelivery, "asyncio.Future[KnownDelivery]"]
_Known = tuple[NewDelivery, KnownDelivery]


class Deliveries:
    """The deliveries of all sources."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[_Waiting] = []
        self._busy = False
        self._stored: dict[tuple[str, str], KnownDelivery] = {}  # by source and event
        self._other_keys: list[_Known] = []
        self._noted = asyncio.Event()
        self._since_room = 0

    async def tidy(self, now: float, signers: frozenset[tuple[str, bytes]] | None, most: int) -> None:
        """Forget what can't be repeated any more; `now` in Unix seconds.

        Of signatures that verify until their secret is replaced at most so many are kept for a source; `signers` are
        those that count, if that is known.
        """
        await self._database.write(lambda db: rows.forget(db, now))
        while signers is not None and await self._database.write(lambda db: signatures.remove_some(db, signers, most)):
            pass

    async def run(self) -> None:
        """Write down what is noted, for as long as nothing has to be forgotten."""
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
                await self._write_down()
            except Unavailable:  # the database has logged it
                await asyncio.sleep(1)

    async def begin(self, delivery: NewDelivery) -> KnownDelivery:
        """Note a delivery, which no kill undoes; the one that is known, or this one. Raises Unavailable."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[KnownDelivery] = loop.create_future()
        self._waiting.append((delivery, future))
        if not self._busy and len(self._waiting) == 1:
            loop.call_soon(self._note_group)  # with all that comes at this moment
        return await future

    def stored(self, delivery: NewDelivery, known: KnownDelivery) -> None:
        """The event of a known delivery is in the stream. Whoever asks from now on hears it."""
        self._stored[delivery.source, known.event_id] = known
        if not known.fresh:  # under the keys of this one it is to be known from the next delivery on
            self._other_keys.append((delivery, known))
        self._noted.set()

    async def remembered(self, source: str) -> tuple[int, int | None]:
        """How many signatures without a time are remembered, and since when. Raises Unavailable."""
        return await self._database.read(lambda db: signatures.count(db, source))

    async def never_sent(self, source: str, event_id: str) -> None:
        """It was surely not stored: nobody has to look for it."""
        await self._database.write(lambda db: rows.never_sent(db, source, event_id))

    async def forget(self, source: str) -> None:
        """The source is gone, or a new one: its deliveries begin anew."""
        self._stored = {key: one for key, one in self._stored.items() if key[0] != source}
        self._other_keys = [one for one in self._other_keys if one[0].source != source]
        await self._database.write(lambda db: rows.forget_source(db, source))

    def _note_group(self) -> None:
        """Note what waits in one transaction, behind the other keys under which some are known by now."""
        if self._busy or not self._waiting:
            return
        group, self._waiting = self._waiting[:_TOGETHER], self._waiting[_TOGETHER:]
        others, self._other_keys = self._other_keys, []

        def job(db: Connection) -> list[KnownDelivery]:
            rows.note_keys(db, others)
            return [rows.begin(db, delivery) for delivery, _ in group]

        try:
            found = self._database.write_quickly(job)
        except Exception as error:  # a fault of ours: whoever waits has to hear of it
            self._fail(group, others, error)
            return
        if found is not None:
            self._answer(group, found)
            return
        self._busy = True
        self._database.submit(job).add_done_callback(partial(self._written, group, others))

    def _written(self, group: list[_Waiting], others: list[_Known], done: asyncio.Future[list[KnownDelivery]]) -> None:
        """The database's thread has noted a group, or has failed."""
        self._busy = False
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        if error is None:
            self._answer(group, done.result())
            return
        self._fail(group, others, error)

    def _fail(self, group: list[_Waiting], others: list[_Known], error: BaseException) -> None:
        """A group could not be noted: none of it is. Go on with who has come meanwhile."""
        self._other_keys = [*others, *self._other_keys][-_MOST_STORED:]
        for _, future in group:
            if not future.done():
                future.set_exception(error)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._note_group)

    def _answer(self, group: list[_Waiting], found: list[KnownDelivery]) -> None:
        """Tell who waits, then go on with who has come meanwhile."""
        for (delivery, future), known in zip(group, found, strict=True):
            if not future.done():  # else who waited is gone
                future.set_result(self._as_known(delivery, known))
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._note_group)

    def _as_known(self, delivery: NewDelivery, found: KnownDelivery) -> KnownDelivery:
        stored = not found.fresh and (delivery.source, found.event_id) in self._stored
        return replace(found, stored=True) if stored else found

    async def _write_down(self) -> None:
        """Write down what is stored. It is known here until that is on disk."""
        self._noted.clear()
        stored, others = dict(self._stored), self._other_keys
        self._other_keys = []

        self._since_room += len(stored)
        full = {source for source, _ in stored} if self._since_room >= _SELDOM else set()

        def job(db: Connection) -> None:
            rows.note_keys(db, others)
            rows.note_stored(db, stored)
            for source in full:
                rows.make_room(db, source, MOST_KNOWN)

        try:
            await self._database.write(job)
        except BaseException:  # also who was cancelled does not know whether it was written: twice is as good as once
            self._other_keys = [*others, *self._other_keys][-_MOST_STORED:]
            for key in list(self._stored)[:-_MOST_STORED]:
                del self._stored[key]
            self._noted.set()
            raise
        if full:
            self._since_room = 0
        for key, known in stored.items():
            if self._stored.get(key) is known:
                del self._stored[key]
