"""Replay: stored events go through a route once more, by the gates of the intake, as new deliveries.

A replay looks at the stream in parts. What it makes of one and how far it is then are one commit, and its number is
part of each delivery's identity: a process that is killed between any two steps neither loses nor doubles anything.
Nothing is stored in the stream again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial

import structlog
from msgspec import UNSET

from openclaw_nats.audit.act import Act
from openclaw_nats.audit.acting import actor
from openclaw_nats.audit.trail import Trail
from openclaw_nats.contract import replays as shapes
from openclaw_nats.errors import InvalidInput, NotFound, Unavailable
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.events.identity import event_of, replayed
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.origin import Origin, joint
from openclaw_nats.inbound.dry_run import DryRun
from openclaw_nats.inbound.flow_control import FlowControl
from openclaw_nats.inbound.intake import Intake
from openclaw_nats.inbound.judging import Judge
from openclaw_nats.inbound.route import Route
from openclaw_nats.inbound.route_book import RouteBook
from openclaw_nats.ports import EventLog, EventSource, Gate, OpenGate
from openclaw_nats.storage import listing, replays
from openclaw_nats.storage.database import Database
from openclaw_nats.storage.listed import ListedDelivery
from openclaw_nats.storage.replays import ReplayRow
from openclaw_nats.storage.rows import ENDED, OPEN, NewDelivery, Waiting

log = structlog.get_logger(__name__)

MAX_RUNNING = 10
MAX_WAITING = 50_000
LOOK_SECONDS = 20.0
PART = 500  # events that are looked at for one commit
PART_BYTES = 8 << 20
_PAUSE = 1.0
_STATES: dict[str, tuple[str, ...]] = {
    "failed": ("dead",),
    "skipped": ("dropped", "expired"),
    "delivered": ("delivered",),
    "all": ENDED,
}


@dataclass
class Part:
    """A part of the stream that was looked at: what is made of it, and what is not, by the reason."""

    position: int
    made: list[NewDelivery] = field(default_factory=list)
    events: int = 0
    gone: int = 0
    under_way: int = 0
    unknown: int = 0
    refused: int = 0
    last: bool = False


class Replays:
    """Begins, carries out, shows and stops replays. `full` says why the inbox takes nothing; empty when it does."""

    def __init__(
        self,
        *,
        log: EventLog,
        source: EventSource,
        database: Database,
        book: RouteBook,
        flow: FlowControl,
        intake: Intake,
        judge: Judge,
        dry_run: DryRun,
        trail: Trail,
        full: Callable[[], str],
        gate: Gate | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._log = log
        self._source = source
        self._database = database
        self._book = book
        self._flow = flow
        self._intake = intake
        self._admission = replace(intake.admission, judge=judge)  # what comes in must not wait for it
        self._dry_run = dry_run
        self._trail = trail
        self._full = full
        self._gate = gate or OpenGate()
        self._clock = clock
        self._changed = asyncio.Event()

    # What is asked for -----------------------------------------------------------------------------------------

    async def plan(self, wanted: ReplayRow) -> tuple[shapes.ReplayPlan, Route]:
        """What a replay would do now, without tokens and money; raise NotFound, InvalidInput."""
        row, route = self._checked(wanted)
        total, arrivals, now = Part(0), list[tuple[str, Waiting]](), self._clock()
        until = time.monotonic() + LOOK_SECONDS
        while not total.last and time.monotonic() < until:
            part = await self._look(row, route, row.most - len(arrivals))
            for one in part.made:
                arrivals.append((one.flow_key, _arriving(one, now + _delay(row, len(arrivals)))))
            for name in ("events", "gone", "under_way", "unknown", "refused"):
                setattr(total, name, getattr(total, name) + getattr(part, name))
            total.last = part.last or len(arrivals) >= row.most
            row = replace(row, position=part.position)
            complete = part.last
        turns = await self._dry_run.count(route, arrivals) if arrivals else 0
        found = shapes.ReplayPlan(
            summary="",
            route=route.name,
            events=total.events,
            deliveries=len(arrivals),
            turns=turns if route.target.is_turn else 0,
            tokens=None,
            cost=None,
            basis="",
            gone=total.gone,
            under_way=total.under_way,
            unknown=total.unknown,
            refused=total.refused,
            complete=complete,
        )
        return found, route

    async def start(self, wanted: ReplayRow) -> shapes.Replay:
        """Begin one; when this returns it is kept. Raise NotFound, InvalidInput."""
        row, route = self._checked(wanted)
        if len(await self._database.read(replays.running)) >= MAX_RUNNING:
            raise InvalidInput(f"{MAX_RUNNING} replays are running", hint="`openclaw-nats routes replays` shows them.")
        row = replace(row, route_id=route.id, made_by=actor(), began_at=self._clock())
        after = {"from": format_seconds(row.since), "to": format_seconds(row.until), "only": row.which}
        after |= {"limit": str(row.most), "alsoWebhooks": str(row.also_webhooks).lower()}
        number = await self._trail.write(
            lambda db: replays.add(db, row),
            lambda number: Act("routes.replay", row.route, after={"replay": number, **after}),
        )
        self._changed.set()
        return await self._shown(replace(row, id=number))

    async def every(self) -> list[shapes.Replay]:
        """All of them, newest first."""
        return [await self._shown(row) for row in await self._database.read(replays.every)]

    async def stop(self, number: int) -> None:
        """End one: what waits of it is dropped, what is being sent is not. Raise NotFound, InvalidInput."""
        found = await self._database.read(lambda db: replays.one(db, number))
        if found is None:
            raise NotFound(f"there is no replay {number}", hint="`openclaw-nats routes replays` lists them.")
        now = self._clock()
        dropped = await self._trail.write(
            lambda db: replays.stop(db, number, f"stopped by {actor()}", now),
            lambda gone: None if gone is None else Act("routes.replay-stop", f"replay {number} of {found.route}"),
        )
        if dropped is None:
            raise InvalidInput(f"replay {number} is {found.state}, and nothing of it waits")
        self._flow.discard(set(dropped))
        self._changed.set()

    def _checked(self, row: ReplayRow) -> tuple[ReplayRow, Route]:
        route = self._book.named(row.route)[0]
        if row.until <= row.since:
            raise InvalidInput("to must be later than from", field="to")
        if not route.target.is_turn and not row.also_webhooks:
            raise InvalidInput(
                f"the target of the route {route.name} is a {route.target.kind}, which may not expect an event twice",
                hint="--also-webhooks (alsoWebhooks) replays to it all the same.",
                field="alsoWebhooks",
            )
        return replace(row, route_id=route.id), route

    async def _shown(self, row: ReplayRow) -> shapes.Replay:
        states = await self._database.read(lambda db: replays.counts(db, row.id))
        return shapes.Replay(
            id=row.id,
            route=row.route,
            since=format_seconds(row.since),
            until=format_seconds(row.until),
            only=row.which,  # type: ignore[arg-type]  # as it was checked
            limit=row.most,
            state=row.state,  # type: ignore[arg-type]  # as storage/replays.py writes it
            reason=row.reason,
            made=row.made,
            delivered=states.get("delivered", 0),
            waiting=sum(states.get(one, 0) for one in OPEN),
            ended=sum(states.get(one, 0) for one in ENDED if one != "delivered"),
            gone=row.gone,
            made_by=row.made_by,
            began_at=format_seconds(row.began_at),
            ended_at=format_seconds(row.ended_at) if row.ended_at else UNSET,
        )

    # What is done ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Carry them out until cancelled; the next process goes on where this one ended."""
        while True:
            await self._gate.wait()
            self._changed.clear()
            wait = 60.0
            try:
                for row in await self._database.read(replays.running):
                    wait = min(wait, await self._step(row))
            except Unavailable as error:
                log.debug("replays.wait", error=str(error))
                wait = _PAUSE
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _step(self, row: ReplayRow) -> float:
        """Take one part of a replay in; in how many seconds it goes on."""
        now = self._clock()
        if row.next_at > now:
            return min(row.next_at - now, row.rate_per)
        if self._full() or self._flow.waiting >= MAX_WAITING:
            return _PAUSE
        route = self._book.get(row.route_id)
        if route is None:
            why = self._book.why_missing(row.route_id)
            await self._database.write(lambda db: replays.stop(db, row.id, why, now))
            return 0.0
        left = row.most - row.made
        part = await self._look(row, route, min(left, row.rate_count) if row.rate_count else left)
        made = row.made + len(part.made)
        after = replace(row, position=part.position, made=made, gone=row.gone + part.gone)
        if part.last or made >= row.most:
            after.state, after.ended_at = "done", now
        elif row.rate_count and part.made:
            after.next_at = now + row.rate_per * len(part.made) / row.rate_count
        numbers = await self._database.write(lambda db: replays.advance(db, row, part.made, after, now))
        if numbers is not None and part.made:
            self._intake.enqueue(part.made, numbers, now)
        return 0.0

    async def _look(self, row: ReplayRow, route: Route, most: int) -> Part:
        """What a replay makes of the next part of the stream, at most `most` deliveries."""
        messages, last = await self._next(row, route)
        places = [event_of(one) for one in messages]
        known = await self._database.read(partial(listing.of_places, route_id=route.id, places=places))
        forgotten = await self._database.read(replays.forgotten)
        position = (await self._source.standing()).position
        handled = position.handled if position is not None else 0
        part = Part(messages[-1].sequence if messages else row.position)
        for number, message in enumerate(messages, 1):
            part.events += 1
            delivery = known.get(event_of(message))
            to_come = route.document.enabled and message.sequence > max(route.after_sequence, handled)
            if (delivery is None and to_come) or (delivery is not None and delivery.state in OPEN):
                part.under_way += 1
            elif delivery is None and row.which == "skipped" and message.sequence <= forgotten:
                part.unknown += 1
            elif _is_wanted(row.which, delivery):
                await self._take(part, row, route, message, delivery)
            if len(part.made) >= most:
                part.position, last = message.sequence, last and number == len(messages)
                break
        part.last = last
        upto = 2**63 - 1 if last else part.position
        part.gone = await self._database.read(lambda db: replays.left(db, row, _STATES[row.which], upto, places))
        return part

    async def _next(self, row: ReplayRow, route: Route) -> tuple[list[StoredMessage], bool]:
        """(the next messages in a replay's time, whether there are no more)."""
        messages, size = list[StoredMessage](), 0
        found = self._log.read(subject=route.pattern, since=row.since, limit=None, follow=False, after=row.position)
        async with aclosing(found) as reading:  # type: ignore[type-var]  # both logs' are generators
            async for message in reading:
                if message is None:
                    continue
                if message.time / 1e9 >= row.until:
                    return messages, True
                messages.append(message)
                size += len(message.body)
                if len(messages) >= PART or size >= PART_BYTES:
                    return messages, False
        return messages, True

    async def _take(
        self, part: Part, row: ReplayRow, route: Route, message: StoredMessage, delivery: ListedDelivery | None
    ) -> None:
        """One event at the gates of the intake; only those that were there before the route are let through too."""
        gates, one = self._admission, self._admission.look_at(message)
        if (
            gates.old_copy(route, one)
            or gates.of_another(route, one)
            or gates.own_letter(route, one)
            or gates.unseen(route, one)
        ):
            return
        key, reason = await gates.judged(route, one)
        if key is None:
            return
        found = self._intake.row_of(one, route, reason, key)
        if found.state != "pending":
            part.refused += 1
            return
        origins = [Origin(found.origin, found.tainted)]
        if delivery is not None:
            origins.append(Origin(delivery.origin, delivery.tainted))
        origin = joint(origins)
        part.made.append(
            replace(
                found,
                place=replayed(found.place, row.id),
                replay=row.id,
                first_stored=found.stored_at,
                stored_at=self._clock(),  # it expires as if it had just come
                hops=max(found.hops, delivery.hops if delivery is not None else 0),
                origin=origin.name,
                tainted=origin.tainted,
            )
        )


def _is_wanted(which: str, delivery: ListedDelivery | None) -> bool:
    if delivery is None:
        return which in ("skipped", "all")
    return delivery.state in _STATES[which]


def _delay(row: ReplayRow, number: int) -> float:
    return number // row.rate_count * row.rate_per if row.rate_count else 0.0


def _arriving(one: NewDelivery, at: float) -> Waiting:
    return Waiting(0, one.place, one.event_id, one.sequence, one.priority, one.hops, one.size, at, at)
