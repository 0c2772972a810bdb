"""The brake: the operator holds turns, and events wait in the inbox until it is resumed or its time is over.

What runs already is left to end. A pause is kept in the database, so that it outlives every process, and the answer to
it comes after the commit: from then on no new dispatch begins. Events that wait expire as they always do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import msgspec
import structlog
from msgspec import UNSET

from openclaw_nats.audit.act import Act
from openclaw_nats.audit.trail import Trail, Untraced
from openclaw_nats.contract import pauses as shapes
from openclaw_nats.errors import InvalidInput, NotAllowed, NotFound, Unavailable
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.storage import pauses as rows
from openclaw_nats.storage.database import Database
from openclaw_nats.storage.pauses import ALL_ROUTES, PauseRow

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 1.0
_YEAR = 366 * 86400.0


class Holds:
    """What is held now, for flow control: pure, the clock is an argument."""

    def __init__(self) -> None:
        self.rows: dict[int, PauseRow] = {}

    def hold(self, now: float, route_id: int, *, turn: bool) -> tuple[float, str]:
        """(until when a route's events wait, why); (0, "") when they don't."""
        for row in (self.rows.get(ALL_ROUTES), self.rows.get(route_id)):
            if row is None or row.is_over(now):
                continue
            if row.route_id == ALL_ROUTES and not (turn or row.everything):
                continue
            return row.until if row.until is not None else float("inf"), said(row)
        return 0.0, ""


def said(row: PauseRow) -> str:
    """A pause as the reason why something waits."""
    what = "everything is" if row.everything else "all turns are" if row.route_id == ALL_ROUTES else "the route is"
    return f"{what} paused by the operator" + (f": {row.reason}" if row.reason else "")


class Pauses:
    """Begins and ends pauses. `changed` is called whenever what is held has changed."""

    def __init__(
        self,
        database: Database,
        holds: Holds,
        *,
        number_of: Callable[[str], int],
        name_of: Callable[[int], str],
        changed: Callable[[], None],
        clock: Callable[[], float] = time.time,
        trail: Trail | None = None,
    ) -> None:
        self._database = database
        self._trail = trail or Untraced(database)
        self._holds = holds
        self._number_of = number_of
        self._name_of = name_of
        self._changed = changed
        self._clock = clock
        self.tell: Callable[[str, dict[str, object]], None] = lambda subject, data: None
        self._lock = asyncio.Lock()
        holds.rows.update((row.route_id, row) for row in database.now(rows.every))

    async def pause(
        self, route: str | None, lasts: float | None, reason: str, made_by: str, *, everything: bool
    ) -> None:
        """Pause one route, all turns, or everything; a pause that is there already is replaced."""
        if lasts is not None and not 0 < lasts <= _YEAR:
            raise InvalidInput("for must be longer than nothing and at most a year", field="for")
        if route is not None and everything:
            raise InvalidInput("everything is about all routes: leave out route", field="everything")
        if any(ord(character) < 32 for character in reason):
            raise InvalidInput("reason must be one line of text", field="reason")
        number = ALL_ROUTES if route is None else self._number_of(route)
        now = self._clock()
        until = None if lasts is None else now + lasts
        row = PauseRow(number, everything, reason.strip(), made_by, now, until)
        async with self._lock:
            before = self._holds.rows.get(number)
            self._hold(row)  # before the commit: nothing begins while it is written
            act = Act("pause", route or "", self._said(before), self._said(row))
            try:
                await self._trail.write(lambda db: rows.put(db, row), act)
            except BaseException:
                await self._reload()
                raise
        log.warning("paused", route=route or "", everything=everything, reason=row.reason, by=made_by)
        self.tell("paused", self._facts(row) | ({"until": format_seconds(until)} if until else {}))

    async def resume(self, route: str | None, made_by: str) -> None:
        """End a pause; raise NotFound when there is none."""
        number = ALL_ROUTES if route is None else self._number_of(route)
        async with self._lock:
            if number not in self._holds.rows:
                others = [self._name_of(one) for one in self._holds.rows]
                what = f"the route {route!r} is" if route is not None else "the bus as a whole is"
                hint = (
                    f"Paused: {', '.join(one or 'all routes' for one in others)}." if others else "Nothing is paused."
                )
                raise NotFound(f"{what} not paused", hint=hint)
            await self._end([number], f"resumed by {made_by}")

    def every(self) -> list[shapes.Pause]:
        """All pauses, the one of all routes first."""
        now = self._clock()
        lasting = [row for row in self._holds.rows.values() if not row.is_over(now)]
        known = [row for row in lasting if row.route_id == ALL_ROUTES or self._name_of(row.route_id)]
        return [self._shown(row) for row in sorted(known, key=lambda row: (row.route_id != ALL_ROUTES, row.since))]

    def of_route(self, route_id: int) -> shapes.Pause | None:
        """The pause of one route, if it has one of its own."""
        row = self._holds.rows.get(route_id)
        return self._shown(row) if row is not None and not row.is_over(self._clock()) else None

    def check_tools(self) -> None:
        """Raise NotAllowed while everything is paused: agents may not use the bus then."""
        row = self._holds.rows.get(ALL_ROUTES)
        if row is not None and row.everything and not row.is_over(self._clock()):
            hint = "Do not try again: tell the user, who ends it with `openclaw-nats resume`."
            raise NotAllowed(f"the tools nats_* are stopped: {said(row)}", hint=hint)

    async def run(self) -> None:
        """End what is over, until cancelled."""
        while True:
            try:
                await self._tend()
            except Unavailable as error:
                log.debug("pauses.wait", error=str(error))
            await asyncio.sleep(_LOOK_SECONDS)

    async def _tend(self) -> None:
        now = self._clock()
        async with self._lock:
            for row in [one for one in self._holds.rows.values() if one.since > now + 1]:
                # It began while the clock was ahead: it keeps its length.
                self._hold(replace(row, since=now, until=None if row.until is None else now + row.until - row.since))
                await self._keep(self._holds.rows[row.route_id])
            over = [row.route_id for row in self._holds.rows.values() if row.is_over(now)]
            if over:
                await self._end(over, "its time is over")

    async def _end(self, numbers: list[int], why: str) -> None:
        ended = [self._holds.rows[one] for one in numbers]
        await self._forget(numbers, Act("resume", ", ".join(map(self._about, ended)), list(map(self._said, ended))))
        for row in ended:
            log.warning("resumed", route=self._name_of(row.route_id), why=why)
            self.tell("resumed", self._facts(row) | {"why": why})

    async def _forget(self, numbers: list[int], act: Act) -> None:
        await self._trail.write(
            lambda db: rows.remove(db, numbers), act
        )  # the commit first: a crash keeps the brake on
        for one in numbers:
            self._holds.rows.pop(one, None)
        self._changed()

    async def _keep(self, row: PauseRow) -> None:
        await self._database.write(lambda db: rows.put(db, row))

    async def _reload(self) -> None:
        kept = {row.route_id: row for row in await self._database.read(rows.every)}
        self._holds.rows.clear()
        self._holds.rows.update(kept)
        self._changed()

    def _hold(self, row: PauseRow) -> None:
        self._holds.rows[row.route_id] = row
        self._changed()

    def _about(self, row: PauseRow) -> str:
        return self._name_of(row.route_id) or "all routes"

    def _said(self, row: PauseRow | None) -> dict[str, object] | None:
        return None if row is None else msgspec.to_builtins(self._shown(row))

    def _facts(self, row: PauseRow) -> dict[str, object]:
        name = self._name_of(row.route_id)
        return {"everything": row.everything, "reason": row.reason} | ({"route": name} if name else {})

    def _shown(self, row: PauseRow) -> shapes.Pause:
        return shapes.Pause(
            route=UNSET if row.route_id == ALL_ROUTES else self._name_of(row.route_id),
            everything=row.everything,
            reason=row.reason,
            made_by=row.made_by,
            since=format_seconds(row.since),
            until=UNSET if row.until is None else format_seconds(row.until),
        )
