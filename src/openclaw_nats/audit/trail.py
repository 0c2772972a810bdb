"""Writing the audit log: in the transaction of the act where the act is in the database; else before it and after it.

An act that can't be written down is not done: without room for its record the database refuses both.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Protocol, TypeVar

import msgspec
import structlog
from msgspec import UNSET

from openclaw_nats.audit.act import Act, text_of
from openclaw_nats.audit.acting import BUS, actor
from openclaw_nats.audit.chain import NOTHING, PRUNED, Head, digest_of, record_of, state_of
from openclaw_nats.contract.audit import AuditRecord, AuditState
from openclaw_nats.errors import Unavailable
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.storage import audit as rows
from openclaw_nats.storage.audit import AuditRow
from openclaw_nats.storage.database import Connection, Database

log = structlog.get_logger(__name__)

T = TypeVar("T")
MAX_RECORDS = 100_000
_KEPT = 0.9  # of the records and bytes, when there are too many


class HeadFile(Protocol):
    """Where the newest digest lies, outside of the database."""

    def read(self) -> Head | None:
        """The newest record that is known to have been there; None without a file."""

    def raise_to(self, head: Head) -> None:
        """Keep a newer one; an older one changes nothing."""


class Trail(Protocol):
    """What the books need: their acts are written down."""

    async def write(self, job: Callable[[Connection], T], act: Act | Callable[[T], Act | None]) -> T:
        """Run `job` as `Database.write` does, with the record of the act in the same transaction.

        What is recorded may depend on what the job returns; for None there is no record.
        """

    def around(self, act: Act) -> AbstractAsyncContextManager[Act]:
        """Around an act that is not in the database: a record before it, and one after it that says how it ended."""


class Untraced:
    """A trail that keeps nothing: for books that are tested on their own."""

    def __init__(self, database: Database | None = None) -> None:
        self._database = database

    async def write(self, job: Callable[[Connection], T], act: Act | Callable[[T], Act | None]) -> T:
        """Run `job`."""
        assert self._database is not None  # noqa: S101  (books without a database use `around` alone)
        return await self._database.write(job)

    @asynccontextmanager
    async def around(self, act: Act) -> AsyncIterator[Act]:
        """Nothing more."""
        yield act


class AuditTrail:
    """The log of one installation. `max_bytes` bounds the texts of its records."""

    def __init__(
        self,
        database: Database,
        key: bytes,
        head: HeadFile,
        *,
        max_bytes: int,
        max_records: int = MAX_RECORDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._key = key
        self._head = head
        self._max_bytes = max_bytes
        self._max_records = max_records
        self._clock = clock
        self._lock = asyncio.Lock()
        self._newest: AuditRow | None = None  # of those whose commit was answered
        if (newest := database.now(rows.newest)) is not None:  # what was committed before a kill
            self._follow(newest)

    async def write(self, job: Callable[[Connection], T], act: Act | Callable[[T], Act | None]) -> T:
        """See Trail."""
        who = actor()

        def both(db: Connection) -> tuple[T, AuditRow | None]:
            result = job(db)
            found = act(result) if callable(act) else act
            return result, self._add(db, who, found) if found is not None else None

        result, row = await self._database.write(both)
        await self._raise(row)
        return result

    async def note(self, act: Act) -> int:
        """Write down an act that has no transaction of its own; the record's number."""
        who = actor()
        row = await self._database.write(lambda db: self._add(db, who, act))
        await self._raise(row)
        return row.number

    def note_now(self, act: Act, who: str) -> int:
        """Write it down in the caller's thread: for commands, while nothing else runs."""
        row = self._database.now(lambda db: self._add(db, who, act))
        self._follow(row)
        return row.number

    @asynccontextmanager
    async def around(self, act: Act) -> AsyncIterator[Act]:
        """See Trail."""
        number = await self.note(replace(act, stage="begun"))
        try:
            yield act
        except Exception as error:
            await self._end(replace(act, after=None, stage="failed", begun=number, reason=str(error)))
            raise
        await self._end(replace(act, stage="ended", begun=number))

    async def _end(self, act: Act) -> None:
        try:
            await self.note(act)
        except Unavailable as error:  # it is done: that it was begun is written down
            log.error("audit.end_not_kept", act=act.what, error=str(error))

    async def records(self, *, since: float | None, search: str, cursor: int | None, limit: int) -> list[AuditRecord]:
        """Records, the newest first."""
        found = await self._database.read(lambda db: rows.listed(db, since, search, cursor, limit))
        return [_shown(row) for row in found]

    async def state(self) -> AuditState:
        """Whether the log is complete."""

        def job(db: Connection) -> AuditState:
            head = self._head.read()  # first: records that come meanwhile are behind it
            return state_of(self._key, rows.every(db), head)

        return await self._database.read(job)

    def _add(self, db: Connection, who: str, act: Act) -> AuditRow:
        newest = self._append(db, who, act)
        count, size = rows.extent(db)
        if count <= self._max_records and size <= self._max_bytes:
            return newest
        last = rows.last_to_remove(db, int(self._max_records * _KEPT), int(self._max_bytes * _KEPT))
        if last is None or last.number >= newest.number:
            return newest
        after = {"through": last.number, "digest": last.digest}
        newest = self._append(db, BUS, Act(PRUNED, after=after))
        rows.remove_through(db, last.number)
        return newest

    def _append(self, db: Connection, who: str, act: Act) -> AuditRow:
        before = rows.newest(db)
        number, previous = (before.number + 1, before.digest) if before else (1, NOTHING)
        now = self._clock()
        old, new = act.shown()
        record = AuditRecord(
            number=number,
            at=format_seconds(now),
            who=who[:200],
            act=act.what,
            about=text_of(act.about),
            stage=act.stage,
            begun=act.begun,
            before=old,
            after=new,
            reason=text_of(act.reason),
            previous=previous,
        )
        text = msgspec.json.encode(record).decode()
        row = AuditRow(
            number, now, text, digest_of(self._key, text), len(text.encode()) + (before.total if before else 0)
        )
        rows.add(db, row)
        names = sorted(new) if isinstance(new, dict) else []
        log.info("audit", number=number, who=who, act=act.what, about=record.about, stage=act.stage, fields=names)
        return row

    async def _raise(self, row: AuditRow | None) -> None:
        if row is None:
            return
        if self._newest is None or self._newest.number < row.number:
            self._newest = row
        async with self._lock:
            if (newest := self._newest) is not None:  # else somebody before has written it, too
                self._newest = None
                await asyncio.to_thread(self._follow, newest)

    def _follow(self, row: AuditRow) -> None:
        try:
            self._head.raise_to(Head(row.number, row.digest))
        except OSError as error:  # the act is done; the next one raises it further
            log.error("audit.head_not_kept", error=str(error))


def _shown(row: AuditRow) -> AuditRecord:
    try:
        return msgspec.structs.replace(record_of(row.text), digest=row.digest)
    except msgspec.MsgspecError:  # somebody changed it: `verify` says so
        return AuditRecord(number=row.number, at=format_seconds(row.at), who="?", act="?", previous="?", digest=UNSET)
