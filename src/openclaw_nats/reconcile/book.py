"""The chain in the database: links are added in one transaction with what they follow on, then the head is raised."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from openclaw_nats.reconcile.chain import NOTHING, Chain, Head, HeadFile, PrunedRecord, link
from openclaw_nats.storage import certificate as rows
from openclaw_nats.storage.certificate import LinkRow
from openclaw_nats.storage.database import Connection, Database

log = structlog.get_logger(__name__)

_PAGE = 64

# Makes the next links: from the number and the digest that the first of them has to carry.
Maker = Callable[[Connection, int, str], list[LinkRow]]


class Book:
    """The links of one installation."""

    def __init__(self, database: Database, key: bytes, head: HeadFile) -> None:
        self._database = database
        self.key = key
        self._head = head

    async def add(self, make: Maker) -> None:
        """Add links; returns after the commit. A kill in between leaves all of them or none."""

        def job(db: Connection) -> LinkRow | None:
            before = self._before(db)
            made = make(db, before.number + 1, before.digest)
            for row in made:
                rows.add(db, row)
            return made[-1] if made else None

        newest = await self._database.write(job)
        if newest is not None:
            await asyncio.to_thread(self._raise, Head(newest.number, newest.digest))

    async def prune(self, expired_before: float, most: int) -> None:
        """Remove whole days that the stream no longer keeps, or that are too many; a link says up to where."""

        def job(db: Connection) -> LinkRow | None:
            gone = rows.days_before(db, expired_before)
            if gone is None and rows.count(db, "events") > most and (oldest := rows.oldest_events(db)) is not None:
                gone = rows.first_day_after(db, oldest.number)
            if gone is None:
                return None
            before = self._before(db)
            record = PrunedRecord(
                number=before.number + 1, through=gone.number, digest=gone.digest, previous=before.digest
            )
            row = link(self.key, "pruned", record)
            rows.add(db, row)
            rows.remove_through(db, gone.number)
            return row

        row = await self._database.write(job)
        if row is not None:
            await asyncio.to_thread(self._raise, Head(row.number, row.digest))

    def follow(self) -> None:
        """Raise the head to what was committed before a kill: for the start."""
        if (newest := self._database.now(rows.newest)) is not None:
            self._raise(Head(newest.number, newest.digest))

    async def newest(self, kind: str | None = None) -> LinkRow | None:
        """The newest link, of one kind or of any."""
        return await self._database.read(lambda db: rows.newest(db, kind))

    async def after(self, number: int) -> list[LinkRow]:
        """The next links behind a number; none at the end."""
        return await self._database.read(lambda db: rows.after(db, number, _PAGE))

    async def records(self, kind: str, limit: int, since: int = 0) -> list[str]:
        """The newest records of a kind, the newest first."""
        return await self._database.read(lambda db: rows.records(db, kind, limit, since))

    def chain(self) -> Chain:
        """To check the links with; made before the first is read, so that what comes meanwhile is behind its head."""
        return Chain(self.key, self._head.read())

    def _before(self, db: Connection) -> Head:
        """What the next link follows on. What was cut off at the end leaves a hole that stays."""
        newest, head = rows.newest(db), self._head.read()
        found = Head(newest.number, newest.digest) if newest is not None else Head(0, NOTHING)
        return head if head is not None and head.number > found.number else found

    def _raise(self, head: Head) -> None:
        try:
            self._head.raise_to(head)
        except OSError as error:  # the next one raises it further
            log.error("certificate.head_not_kept", error=str(error))
