"""Events that were gone from the stream before this sidecar had seen them, counted by their sequences.

An event goes by age, by size, or by a purge. A sequence that is neither in the stream nor up to the consumer's position
is one that nobody here has seen. What was on it can't be known any more: so the number is of events on any subject,
also on those that no route wants. While the sidecar is away the count is exact; while it runs and can't keep up with
the stream's beginning, it is as exact as it looks (every LOOK_SECONDS).
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence

import msgspec
import structlog

from openclaw_nats.contract.health import Missed
from openclaw_nats.errors import Unavailable
from openclaw_nats.events.bus_events import bus_message
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.events.identity import Identity
from openclaw_nats.inbound.meters import InboundMeters
from openclaw_nats.inbound.positions import put
from openclaw_nats.ports import EventLog, EventSource, Gate, Position, Standing
from openclaw_nats.storage import inbox
from openclaw_nats.storage.database import Connection, Database
from openclaw_nats.storage.taken import last_taken

log = structlog.get_logger(__name__)

EVENTS_MISSED = "agent.events.bus.events_missed"
LOOK_SECONDS = 2.0
_FACT = "events missed"


class Account(msgspec.Struct, rename="camel"):
    """What is kept: up to where everything is accounted for, and what was missed in all and the last time."""

    stream: str = ""
    handled: int = 0
    counted: int = 0  # gaps up to here were counted when the sidecar came back
    last: int = 0
    wanted: bool = False  # whether any route wanted events then
    total: int = 0
    count: int = 0
    at: float = 0.0


class Losses:
    """Keeps the account. `wants` says whether any route wants events: without one nothing is missed."""

    def __init__(
        self,
        *,
        database: Database,
        source: EventSource,
        events: EventLog,
        meters: InboundMeters,
        gateway_id: str,
        identity: Identity,
        wants: Callable[[], bool],
        gate: Gate,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._source = source
        self._events = events
        self._meters = meters
        self._gateway_id = gateway_id
        self._identity = identity
        self._wants = wants
        self._gate = gate
        self._clock = clock
        self._lock = asyncio.Lock()
        self._taken: list[int] = []
        self._came_back = False
        self._kept = Account()
        text = database.now(lambda db: inbox.fact(db, _FACT))
        if text:
            self._kept = msgspec.json.decode(text, type=Account)
        meters.missed.inc(self._kept.total)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            if not self._gate.allowed:
                self._came_back = False
                await self._gate.wait()
            try:
                if self._came_back or not self._wants():  # else intake has to look first, before it takes anything
                    await self.look()
            except Unavailable as error:
                log.debug("losses.wait", error=str(error))
            await asyncio.sleep(LOOK_SECONDS)

    def taken(self, sequences: Sequence[int]) -> None:
        """Events have come into the inbox, oldest first."""
        self._taken += sequences[-1:]

    def report(self) -> Missed | None:
        """The part of the health report about it; None when nothing was ever missed."""
        kept = self._kept
        if not kept.total:
            return None
        return Missed(kept.total, kept.count, format_seconds(kept.at))

    async def look(self, *, back: bool = False) -> None:
        """Account for what there is now. `back`: nothing was taken since the last look, so that gaps can be counted."""
        async with self._lock:
            standing = await self._source.standing()
            await self._account(standing, back=back)
            self._came_back = self._came_back or back

    async def _account(self, standing: Standing, *, back: bool) -> None:
        kept, position = self._kept, standing.position
        if not self._wants():
            handled: int | None = standing.last
        else:
            handled = position.handled if position is not None else None
        lost = 0
        if kept.stream != standing.stream or not kept.wanted:
            if handled is None:
                return
            if kept.wanted:  # of the stream that was before, this much at least
                seen = max(kept.handled, await self._seen_before(standing, kept))
                lost = max(0, kept.last - max(seen, standing.kept if _put_back(kept, standing) else 0))
            base = handled
        else:
            base = max(kept.handled, await self._seen(standing) if back else 0)
        lost += await self._gone(standing, kept, base, back=back)
        now_handled = max(base, handled or 0, standing.first - 1)
        new = Account(
            stream=standing.stream,
            handled=now_handled,
            counted=standing.last if back else (kept.counted if kept.stream == standing.stream else 0),
            last=standing.last,
            wanted=self._wants(),
            total=kept.total + lost,
            count=lost or kept.count,
            at=self._clock() if lost else kept.at,
        )
        if lost:
            await self._tell(lost, base + 1, new)
        self._taken.clear()
        if new != self._kept:
            # Without a route the consumer may be another machine's, whose place is not ours yet (positions.py).
            mine = position if new.wanted else None
            await self._database.write(lambda db: _keep(db, new, mine))
            self._kept = new
            self._meters.missed.inc(lost)

    async def _seen(self, standing: Standing) -> int:
        """How far this sidecar surely was when it stopped, which may be a little after it last kept its account.

        The consumer's position says it only while it stands in the stream: a purge moves it on.
        """
        taken = await self._database.read(lambda db: last_taken(db, since=standing.since))
        position = standing.position.handled if standing.position is not None else 0
        return min(standing.last, max(taken, position if position >= standing.first else 0))

    async def _seen_before(self, standing: Standing, kept: Account) -> int:
        """How far this sidecar was in the stream that was before: it may have stopped before it kept its account."""
        since = standing.since or self._clock()
        return await self._database.read(lambda db: last_taken(db, until=since, up_to=kept.last))

    async def _gone(self, standing: Standing, kept: Account, base: int, *, back: bool) -> int:
        """How many sequences behind `base` are neither in the stream nor were taken."""
        if not self._wants():
            return 0
        if back:
            base = max(base, kept.counted if kept.stream == standing.stream else 0)
            return max(0, standing.last - base - await self._source.count_after(base)) if standing.last > base else 0
        below = [sequence for sequence in self._taken if sequence < standing.first]
        return max(0, standing.first - 1 - max([base, *below]))

    async def _tell(self, lost: int, first: int, account: Account) -> None:
        """Say it as an event, before it is kept: after a crash it is said again, under the same id."""
        data = {
            "events": lost,
            "total": account.total,
            "fromSequence": first,
            "toSequence": account.handled,
            "subjects": "any: which of them a route wanted can't be known",
        }
        log.error("events.missed", **data)
        named = f"{self._gateway_id} {account.stream} {first} {lost}"
        message = bus_message(
            self._identity,
            self._gateway_id,
            EVENTS_MISSED,
            data,
            event_id=f"events-missed-{hashlib.sha256(named.encode()).hexdigest()[:32]}",
            milliseconds=int(self._clock() * 1000),
        )
        await self._events.append([message])


def _put_back(kept: Account, standing: Standing) -> bool:
    """Whether the stream is the one of the account, put back to an earlier state."""
    return kept.stream.partition("#")[0] == standing.stream.partition("#")[0]


def _keep(db: Connection, account: Account, position: Position | None) -> None:
    inbox.set_fact(db, _FACT, msgspec.json.encode(account).decode())
    if position is not None:
        put(db, position)
