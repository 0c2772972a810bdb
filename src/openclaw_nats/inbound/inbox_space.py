"""Keeps the inbox within `inbox.max_bytes` on disk: the oldest receipts go first, dead letters last, never what waits.

Where what waits takes all of it by itself, `problem` says so, and the intake leaves new events in the stream until
some of it has gone out.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from openclaw_nats.contract.health import InboxHealth
from openclaw_nats.errors import Unavailable
from openclaw_nats.inbound.flow_policy import COSTS_KEPT
from openclaw_nats.inbound.meters import InboundMeters
from openclaw_nats.settings import format_size
from openclaw_nats.storage import costs, inbox, space
from openclaw_nats.storage.database import Connection, Database
from openclaw_nats.storage.space import Room

log = structlog.get_logger(__name__)

_DAY = 86400.0
_AGED_EVERY = 600.0
_AGED_AT_ONCE = 5000
_AT_MOST = 2.0  # seconds of one turn of housekeeping
_ROOMY = 0.95  # of the limit: how far it is emptied
_NEAR = 0.8  # of the limit: when what waits takes so much by itself, that is told
# Free pages that stay in the file for what comes next: a share of the used bytes, none near the limit.
_FREE_SHARE, _FREE_LEAST = 0.25, 1 << 20
_PAGES = 1024
_OLD_CONTENTS = "contents of version 0.1.0 are gone up to"


@dataclass
class InboxSpace:
    """`tend` is called every few seconds."""

    database: Database
    meters: InboundMeters
    max_bytes: int
    keep: float
    clock: Callable[[], float] = time.time
    room: Room = field(default_factory=lambda: Room(0, 0, 0, True))
    problem: str = ""
    note: str = ""
    nearly: str = ""
    _aged: float = 0.0
    _old_contents_gone: bool = False
    _tried_to_convert: bool = False

    def report(self) -> InboxHealth:
        """For `/api/health`."""
        return InboxHealth(self.room.on_disk, self.max_bytes, self.problem, "" if self.problem else self.nearly)

    @property
    def _limit(self) -> int:
        return self.max_bytes - space.LOG_BYTES

    async def tend(self) -> None:
        """Forget what is too old or too much, and give the room back; in small steps. Raises Unavailable."""
        until = time.monotonic() + _AT_MOST
        await self._forget_old(until)
        await self._forget_old_contents(until)
        await self._look()
        target = self._limit if self.room.used <= self._limit else int(self._limit * _ROOMY)
        while self.room.used > target and time.monotonic() < until and await self._forget_some():
            await self._look()
        await self._give_back(until)
        self._judge()
        near = self.room.used > self._limit * _NEAR
        self._warn(await self.database.read(space.waiting_bytes) if near else 0)

    def _warn(self, waiting: int) -> None:
        """Receipts fill it up to the limit in the long run, which is as it should be; what waits does not go."""
        nearly = ""
        if waiting > self._limit * _NEAR:
            nearly = (
                f"what waits takes {format_mib(waiting)} of the {format_size(self.max_bytes)} of inbox.max_bytes: "
                "beyond that, new events stay in the stream until some has gone out"
            )
        if nearly and not self.nearly:
            log.warning("inbox.nearly_full", bytes=waiting, max_bytes=self.max_bytes)
        self.nearly = nearly

    async def _look(self) -> None:
        self.room = await self.database.read(lambda db: space.room(db, self.database.path))
        self.meters.inbox_bytes.set(self.room.on_disk)
        self.meters.inbox_max_bytes.set(self.max_bytes)

    async def _forget_some(self) -> bool:
        """One step; False when there is nothing that may go."""
        numbers = await self.database.read(space.oldest_receipts)
        if not numbers:
            ids = await self.database.read(space.left_dispatches)
            if ids:
                await self.database.write(lambda db: space.forget_dispatches(db, ids))
                return True
            numbers = await self.database.read(space.oldest_letters)
        gone = await self.database.write(lambda db: space.forget(db, numbers)) if numbers else 0
        self.meters.inbox_forgotten.inc(gone)
        return gone > 0

    async def _forget_old(self, until: float) -> None:
        now = self.clock()
        if 0 <= now - self._aged < _AGED_EVERY:
            return
        before = now - self.keep
        numbers = await self.database.read(lambda db: space.ended_before(db, before, _AGED_AT_ONCE))
        for start in range(0, len(numbers), space.AT_ONCE):
            part = numbers[start : start + space.AT_ONCE]
            await self.database.write(lambda db, part=part: space.forget(db, part))  # type: ignore[misc]
            if time.monotonic() > until:
                return
        await self.database.write(lambda db: inbox.forget_turns(db, now - 2 * _DAY))
        await self.database.write(lambda db: costs.forget(db, now - COSTS_KEPT - _DAY))
        if len(numbers) < _AGED_AT_ONCE:
            self._aged = now

    async def _forget_old_contents(self, until: float) -> None:
        """Once: what versions up to 0.1.0 kept of events that have ended."""
        while not self._old_contents_gone and time.monotonic() < until:
            after = await self.database.read(lambda db: inbox.fact(db, _OLD_CONTENTS))
            if after == "0":
                self._old_contents_gone = True
                return

            def job(db: Connection, after: str = after) -> None:
                inbox.set_fact(db, _OLD_CONTENTS, str(space.let_old_contents_go(db, int(after or -1))))

            await self.database.write(job)

    async def _give_back(self, until: float) -> None:
        if not self.room.gives_back:
            await self._convert()
        near = self.room.used + self.room.free > self._limit * _ROOMY
        stays = 0 if near else max(_FREE_LEAST, int(self.room.used * _FREE_SHARE))
        gave = False
        while self.room.gives_back and self.room.free > stays and time.monotonic() < until:
            free = self.room.free
            await self.database.give_back(_PAGES)
            await self._look()
            if self.room.free >= free:
                break
            gave = True
        if gave:
            await self.database.checkpoint()
            await self._look()

    async def _convert(self) -> None:
        """A file of 0.1.0 can't give room back: it is rewritten once, when what has to go is gone."""
        if self._tried_to_convert or not self._old_contents_gone or self.room.used > self._limit:
            return
        self._tried_to_convert = True
        if _free(self.database.path.parent) < 2.5 * self.room.used:
            self.note = (
                f"{self.database.path.name} can't return free space to the disk until it is rewritten, which needs "
                f"{format_mib(int(2.5 * self.room.used))} of free disk at a start"
            )
            return
        began = time.monotonic()
        try:
            await self.database.convert()
        except Unavailable as error:
            self.note = str(error)
            return
        await self._look()
        log.info("inbox.rewritten", bytes=self.room.on_disk, seconds=round(time.monotonic() - began, 1))

    def _judge(self) -> None:
        problem = ""
        if self.room.used > self._limit:
            problem = (
                f"what waits takes {format_mib(self.room.used)} by itself, and inbox.max_bytes is "
                f"{format_size(self.max_bytes)}: new events stay in the stream until some of it is sent"
            )
        if problem and not self.problem:
            log.warning("inbox.full", bytes=self.room.used, max_bytes=self.max_bytes)
        self.problem = problem


def format_mib(count: int) -> str:
    """Bytes in whole MiB."""
    return f"{count / 2**20:.0f} MiB"


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free
