"""From the stream into the inbox: decode → match routes → conditions → loop guard → commit → acknowledge."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from openclaw_nats.backoff import wait_after
from openclaw_nats.errors import Unavailable
from openclaw_nats.events.identity import event_of
from openclaw_nats.events.makers import Maker
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.inbound.admission import Admission, Candidate
from openclaw_nats.inbound.documents import Documents
from openclaw_nats.inbound.flow_control import FlowControl
from openclaw_nats.inbound.forgeries import Forgeries
from openclaw_nats.inbound.judging import Judge
from openclaw_nats.inbound.loop_guard import LoopGuard
from openclaw_nats.inbound.losses import Losses
from openclaw_nats.inbound.meters import InboundMeters
from openclaw_nats.inbound.route import Route
from openclaw_nats.inbound.route_book import RouteBook
from openclaw_nats.ports import Delivered, EventSource, Gate, OpenGate
from openclaw_nats.storage import inbox
from openclaw_nats.storage.database import Database
from openclaw_nats.storage.rows import BEHIND_ALL, NewDelivery, Waiting

log = structlog.get_logger(__name__)

MAX_WAITING = 200_000
_PAUSE = 1.0


async def _at_once() -> None:
    """Nothing to wait for."""


class Intake:
    """Takes messages out of the stream as long as it runs; `wake` is called when there is something to deliver.

    `full` says why nothing more can be taken at present, empty when it can. `begin` returns when it is known which
    messages are older than all seals. For `may_see`, `sealed_at` and `tick_owner` see Admission.
    """

    def __init__(
        self,
        *,
        source: EventSource,
        database: Database,
        book: RouteBook,
        flow: FlowControl,
        guard: LoopGuard,
        judge: Judge,
        documents: Documents,
        meters: InboundMeters,
        wake: Callable[[], None],
        sealed_at: Callable[[StoredMessage], float | None] = lambda message: None,
        begin: Callable[[], Awaitable[None]] = _at_once,
        tick_owner: Callable[[StoredMessage], str] = lambda message: "",
        may_see: Callable[[Maker, Mapping[str, str]], bool] = lambda maker, event: True,
        gate: Gate | None = None,
        losses: Losses | None = None,
        forgeries: Forgeries | None = None,
        full: Callable[[], str] = lambda: "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.admission = Admission(guard, judge, sealed_at, tick_owner, may_see)
        self._begin = begin
        self._gate = gate or OpenGate()
        self._losses = losses
        self._forgeries = forgeries or Forgeries()
        self._full = full
        self._source = source
        self._database = database
        self._book = book
        self._flow = flow
        self._guard = guard
        self._documents = documents
        self._meters = meters
        self._wake = wake
        self._clock = clock
        self.last_error = ""

    @property
    def problem(self) -> str:
        """Why events do not come in as they should; empty when they do."""
        return self._source.problem or self.last_error

    async def run(self) -> None:
        """Take in until cancelled. The subscription follows the routes."""
        subscribed: list[str] | None = None
        failures = 0
        while True:
            if not self._gate.allowed:
                self.last_error = self._gate.problem
                await self._gate.wait()
                self.last_error, subscribed = "", None  # who had the name meanwhile may have moved the consumer
            try:
                await self._begin()
                if subscribed != self._book.patterns:
                    subscribed = await self._subscribe()
                if not subscribed:
                    await self._book.changed.wait()
                    self._book.changed.clear()  # else a change without a pattern makes this a circle without a pause
                    continue
                if self._flow.waiting >= MAX_WAITING:
                    self.last_error = f"{self._flow.waiting} deliveries wait: new events stay in the stream"
                    await asyncio.sleep(_PAUSE)
                    continue
                if full := self._full():
                    self.last_error = full
                    await asyncio.sleep(_PAUSE)
                    continue
                batch = await self._source.next()
                if batch and self._gate.allowed:  # else they come again, to whoever has the name then
                    await self.take(batch)
                self.last_error, failures = "", 0
            except Unavailable as error:
                self.last_error = str(error)
                subscribed = None
                await asyncio.sleep(wait_after(failures, 0.1, _PAUSE))
                failures += 1

    async def _subscribe(self) -> list[str]:
        self._book.changed.clear()
        patterns = self._book.patterns
        if patterns:
            standing = await self._source.standing()
            await self._book.follow_stream(standing.stream, standing.kept)
            if self._losses is not None:
                await self._losses.look(back=True)
        await self._source.subscribe(patterns, self._book.wanted())
        return patterns

    async def take(self, batch: Sequence[Delivered]) -> None:
        """Put messages into the inbox, then acknowledge them. Raises Unavailable when the inbox can't be written."""
        rows: list[NewDelivery] = []
        for one in batch:
            rows += await self._rows(one.message)
        if rows:
            now = self._clock()
            await self._keep(rows, now)
        self._meters.events.inc(len(batch))
        if self._losses is not None:
            self._losses.taken([one.message.sequence for one in batch])
        await self._source.acknowledge(batch)

    async def _keep(self, rows: list[NewDelivery], now: float) -> None:
        """Commit the rows. One that the inbox can't hold, which is a mistake of ours, does not cost the others."""
        try:
            numbers = await self._database.write(lambda db: inbox.add(db, rows, now))
        except Unavailable:
            raise
        except Exception as error:
            if len(rows) > 1:
                for row in rows:
                    await self._keep([row], now)
                return
            log.error("intake.bug", sequence=rows[0].sequence, route=rows[0].route, error=repr(error), exc_info=True)
            return
        self.enqueue(rows, numbers, now)

    def enqueue(self, rows: Sequence[NewDelivery], numbers: Sequence[int | None], now: float) -> None:
        """What was committed waits in flow control from now on; a row without a number is there already."""
        for row, number in zip(rows, numbers, strict=True):
            if number is None:
                self._meters.duplicates.inc()
                continue
            self._meters.matched(row.route)
            if row.state != "pending":
                self._meters.ended(row.route, row.state)
                continue
            self._documents.keep(row.place, row.document)
            self._flow.add(
                row.route_id,
                row.flow_key,
                Waiting(
                    delivery=number,
                    place=row.place,
                    event_id=row.event_id,
                    order=row.sequence + (BEHIND_ALL if row.replay else 0),
                    priority=row.priority,
                    hops=row.hops,
                    size=row.size,
                    stored=row.stored_at,
                    arrived=now,
                    origin=row.origin,
                    tainted=row.tainted,
                    replay=row.replay,
                    first_stored=row.first_stored,
                ),
            )
        self._wake()

    async def _rows(self, message: StoredMessage) -> list[NewDelivery]:
        gates, one = self.admission, self.admission.look_at(message)
        routes = [
            route
            for route in self._book.index.routes_for(message.subject)
            if not (
                gates.too_early(route, one)
                or gates.old_copy(route, one)
                or gates.of_another(route, one)
                or gates.own_letter(route, one)
            )
        ]
        if not routes:
            return []
        if one.forged:
            self._meters.forged.inc()
            self._forgeries.note(message)
        rows = []
        for route in routes:
            if gates.unseen(route, one):
                continue
            key, reason = await gates.judged(route, one)
            if key is not None:
                rows.append(self.row_of(one, route, reason, key))
        return rows

    def row_of(self, one: Candidate, route: Route, reason: str, key: str) -> NewDelivery:
        """The delivery of an event for a route: `reason` is why it can't be judged, `key` its flow key."""
        message, decoded = one.message, one.decoded
        state = "dead" if reason else "pending"
        if one.forged:  # before the loop guard, which has nothing to stop here and nothing to report
            state, reason = "dropped", one.forged
        elif not reason and self._guard.too_deep(one.hops):
            state, reason = "dropped", self._guard.stop(route.name, message.subject, one.hops)
        if state == "pending" and one.late:
            state, reason = "expired", one.late
        return NewDelivery(
            place=event_of(message),
            event_id=decoded.id,
            route_id=route.id,
            route=route.name,
            subject=message.subject,
            session=decoded.sessionkey,
            sequence=message.sequence,
            state=state,
            reason=reason,
            flow_key=key,
            priority=route.document.priority or decoded.priority,
            hops=one.hops,
            size=len(decoded.document),
            stored_at=message.time / 1e9,
            document=decoded.document,
            origin=decoded.origin.name,
            tainted=decoded.origin.tainted,
        )
