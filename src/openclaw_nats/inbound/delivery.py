"""Delivery: what flow control releases is rendered, recorded, sent, and its outcome recorded.

The order is what makes it safe: a dispatch with its key and its text is committed before it is sent for the first time,
and its receipt after the target's answer. A process that dies between the two finds the dispatch again and asks with
the same key; one that dies after the receipt never asks again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec
import structlog

from openclaw_nats.backoff import wait_after
from openclaw_nats.clock_steps import ClockSteps
from openclaw_nats.errors import GiveUp, Poison, RetryLater, Unavailable
from openclaw_nats.events import json_text, trace
from openclaw_nats.events.ids import uuid7
from openclaw_nats.events.makers import agent_made
from openclaw_nats.events.origin import Origin, joint
from openclaw_nats.inbound.documents import Documents
from openclaw_nats.inbound.flow_control import FlowControl
from openclaw_nats.inbound.groups import Release, Retry
from openclaw_nats.inbound.loop_guard import LoopGuard
from openclaw_nats.inbound.meters import InboundMeters
from openclaw_nats.inbound.parcels import is_tainted, over, parcel_of, target_document, with_target
from openclaw_nats.inbound.render_process import TooLong
from openclaw_nats.inbound.rendering import Renderer
from openclaw_nats.inbound.route import Route
from openclaw_nats.inbound.route_book import RouteBook
from openclaw_nats.inbound.target import TURN_KINDS, target_from
from openclaw_nats.ports import Gate, OpenGate, Receipt, Sender
from openclaw_nats.storage import inbox
from openclaw_nats.storage.clock import put_right
from openclaw_nats.storage.database import Connection, Database
from openclaw_nats.storage.rows import Dispatch, Waiting
from openclaw_nats.terminal_text import plural
from openclaw_nats.url_secrets import masked

log = structlog.get_logger(__name__)
T = TypeVar("T")

LONGEST_SLEEP = 30.0
_DISK_PAUSE = 1.0
_RENDER_PAUSE = 5.0
_REPLY_CHARACTERS = 500
_BREAKER_THRESHOLD = 5
_LONGEST_RETRY_AFTER = 3600.0  # as gateway/responses.py takes it from a target


class Deliveries:
    """Sends what is due, as long as it runs. `wake` makes it look again."""

    def __init__(
        self,
        *,
        database: Database,
        book: RouteBook,
        flow: FlowControl,
        guard: LoopGuard,
        documents: Documents,
        renderer: Renderer,
        senders: Mapping[str, Sender],
        meters: InboundMeters,
        gate: Gate | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._gate = gate or OpenGate()
        self._database = database
        self._book = book
        self._flow = flow
        self._guard = guard
        self._documents = documents
        self._renderer = renderer
        self._senders = senders
        self._meters = meters
        self._clock = clock
        self._due = asyncio.Event()
        self._steps = ClockSteps(clock)
        self.sending = 0

    def load(self) -> None:
        """Take up what the last process left: what waits, what was being sent, what the limits count."""
        now = self._clock()
        if changed := self._database.now(lambda db: put_right(db, now)):
            log.warning("clock.was_ahead", times=changed)
        self._database.now(lambda db: inbox.interrupt(db, now))
        longest = max((route.policy.rate_per for route, _ in self._book.every()), default=0.0)
        sent: dict[tuple[int, str], list[float]] = {}
        for route_id, key, at in self._database.now(lambda db: inbox.dispatch_times(db, now - longest)):
            sent.setdefault((route_id, key), []).append(at)
        for (route_id, key), times in sent.items():
            route = self._book.get(route_id)
            if route is not None and route.policy.rate_count:
                self._flow.sent_before(route_id, key, times)
        for at, route_id, agents in self._database.now(lambda db: inbox.turn_times(db, now - 86400)):
            self._flow.budgets.spend(at, route_id, agents=agents)
        for dispatch in self._database.now(inbox.open_dispatches):
            self._guard.started(dispatch.run_key, dispatch.hops + 1)
            try:
                lane = target_from(msgspec.json.decode(dispatch.target)).lane
            except Exception as error:  # written by another version, or damaged
                reason = f"its target can't be read: {error!r}"
                self._database.now(lambda db, one=dispatch, why=reason: inbox.bury(db, one, why, now))  # type: ignore[misc]
                continue
            self._limit_wait(dispatch, now)
            self._flow.retry(lane, dispatch)
        for route_id, key, one in self._database.now(inbox.waiting):
            self._flow.add(route_id, key, one)

    def _limit_wait(self, dispatch: Dispatch, now: float) -> None:
        """A dispatch waits no longer than anything can make it wait, whatever its row says."""
        route = self._book.get(dispatch.route_id)
        backoff = route.backoff if route is not None and route.backoff else (60.0,)
        free, _ = self._flow.budgets.wait(now, dispatch.route_id)
        if dispatch.due_at > max(now + max(backoff), now + _LONGEST_RETRY_AFTER, free):
            dispatch.due_at = now + backoff[max(0, min(dispatch.failures, len(backoff)) - 1)]

    def wake(self) -> None:
        """Something may be due."""
        self._due.set()

    async def run(self) -> None:
        """Deliver until cancelled; what is on its way then is taken up by the next process."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._gate.wait()
                self._due.clear()
                await self._look_at_clock()
                decision = self._flow.release(self._clock())
                for one in decision.releases:
                    self.sending += 1
                    group.create_task(self._guarded(one), name=f"deliver {masked(one.lane)}")
                if decision.expired:
                    await self._expire(decision.expired)
                for dispatch in decision.moved:
                    await self._release_again(dispatch)
                await self._sleep()

    async def _look_at_clock(self) -> None:
        """A clock that was ahead and is corrected must not hold anything until the wrong time."""
        seconds = self._steps.put_back()
        if seconds:
            now = self._clock()
            log.warning("clock.put_back", seconds=round(seconds))
            await self._kept(lambda db: put_right(db, now))
            self._flow.clock_put_back(now)

    async def _release_again(self, dispatch: Dispatch) -> None:
        """The route's target was changed while a dispatch waited for another attempt: the new target is asked.

        It is a new dispatch with a key of its own, in the form and by the limits of the new target. The old one is
        asked no more, also where it is not known whether it took the last attempt.
        """
        now = self._clock()
        reason = f"the route has another target now; dispatch {dispatch.id} is not tried again at the old one"
        for route_id, key, one in await self._kept(lambda db: inbox.release_again(db, dispatch.id, reason, now)):
            self._flow.add(route_id, key, one)
        self.wake()

    async def _sleep(self) -> None:
        wake = self._flow.next_wake()
        seconds = LONGEST_SLEEP if wake is None else min(LONGEST_SLEEP, max(0.0, wake - self._clock()))
        try:
            async with asyncio.timeout(seconds + 0.001):
                await self._due.wait()
        except TimeoutError:
            return

    async def _guarded(self, one: Release | Retry) -> None:
        """Run one delivery; a mistake of ours must neither stop the others nor lose this one."""
        try:
            await (self._again(one) if isinstance(one, Retry) else self._first(one))
        except Exception as error:
            log.error("delivery.bug", lane=masked(one.lane), error=repr(error), exc_info=True)
            try:
                await self._after_bug(one, f"a fault in openclaw-nats: {error!r}")
            except Exception as failure:
                log.error("delivery.bug_not_recorded", lane=masked(one.lane), error=repr(failure), exc_info=True)
        finally:
            self.sending -= 1
            self._flow.done(one.lane)
            self.wake()

    async def _after_bug(self, one: Release | Retry, reason: str) -> None:
        numbers = one.dispatch.deliveries if isinstance(one, Retry) else [member.delivery for member in one.members]
        now = self._clock()

        def job(db: Connection) -> list[Dispatch]:
            inbox.end(db, numbers, "dead", reason, now)
            left = inbox.sending_with(db, numbers)
            for dispatch in left:
                dispatch.due_at, dispatch.changed_at = now + 60, now
                inbox.fail(db, dispatch, reason, now)
            return left

        for dispatch in await self._kept(job):
            self._flow.retry(one.lane, dispatch)

    async def _expire(self, expired: Sequence[Waiting]) -> None:
        numbers = [one.delivery for one in expired]
        now = self._clock()
        await self._kept(lambda db: inbox.end(db, numbers, "expired", "it waited longer than expiresAfter", now))

    # The first attempt -----------------------------------------------------------------------------------------

    async def _first(self, release: Release) -> None:
        route = self._book.get(release.group[0])
        if route is None or not await self._go(release, route):
            self._flow.refund(release)

    async def _go(self, release: Release, route: Route) -> bool:
        """Render, record and send a release; False when it led to no dispatch."""
        members = await self._present(route, release.members)
        try:
            while members:
                documents = [document for _, document in members]
                try:
                    text = await self._renderer.render(route, documents)
                    break
                except TooLong:
                    half = len(members) // 2
                    self._flow.put_back(release, [one for one, _ in members[half:]])
                    members = members[:half]
                except Poison as error:
                    members = await self._without_poison(route, release, members, str(error))
            else:
                return False
        except Unavailable as error:  # not their fault: they wait, and so does the rest of their lane
            log.error("delivery.cannot_render", route=route.name, deliveries=len(members), error=str(error))
            self._flow.put_back(release, [one for one, _ in members])
            await asyncio.sleep(_RENDER_PAUSE)
            return False
        if self._flow.held(route.id, self._clock())[1]:  # paused while the text was made
            self._flow.put_back(release, [one for one, _ in members])
            return False
        dispatch = self._dispatch_of(route, release, members, text)
        if not await self._begin(dispatch, release, [one for one, _ in members], turn=route.target.is_turn):
            return False
        self._meters.digest.observe(dispatch.events)
        if route.target.is_turn:
            self._meters.turn(route.name, dispatch.events)
        await self._send(release.lane, route, dispatch)
        return True

    async def _present(self, route: Route, members: Sequence[Waiting]) -> list[tuple[Waiting, dict[str, object]]]:
        found = await self._documents.get([one.place for one in members])
        gone = [one.delivery for one in members if one.place not in found]
        if gone:
            now = self._clock()
            await self._kept(lambda db: inbox.end(db, gone, "dead", "its event is no longer in the inbox", now))
        return [(one, json_text.shown(found[one.place])) for one in members if one.place in found]

    async def _without_poison(
        self, route: Route, release: Release, members: list[tuple[Waiting, dict[str, object]]], reason: str
    ) -> list[tuple[Waiting, dict[str, object]]]:
        bad = {0: reason} if len(members) == 1 else await self._renderer.sort_out(route, [one for _, one in members])
        bad = bad or {place: reason for place in range(len(members))}
        now = self._clock()

        def job(db: Connection) -> None:
            for place, why in bad.items():
                inbox.end(db, [members[place][0].delivery], "dead", f"its text can't be rendered: {why}", now)

        await self._kept(job)
        self._meters.ended(route.name, "dead", len(bad))
        log.warning("delivery.poison", route=route.name, deliveries=len(bad), error=reason)
        return [one for place, one in enumerate(members) if place not in bad]

    def _dispatch_of(
        self, route: Route, release: Release, members: Sequence[tuple[Waiting, dict[str, object]]], text: str
    ) -> Dispatch:
        now = self._clock()
        waiting = [one for one, _ in members]
        traceparents = trace.carried(document for _, document in members)
        by_agents = next((mark for _, document in members if (mark := agent_made(document))), "")
        origins = [Origin(one.origin, one.tainted) for one in waiting]
        return Dispatch(
            id=uuid7(int(now * 1000)),
            route_id=route.id,
            route=route.name,
            flow_key=release.group[1],
            target=target_document(route, traceparents, by_agents, joint(origins), guarded=is_tainted(route, origins)),
            body=text,
            events=len(members),
            priority=max(one.priority for one in waiting),
            hops=max(one.hops for one in waiting),
            position=min(one.order for one in waiting),
            created_at=now,
            attempts=1,
            deliveries=[one.delivery for one in waiting],
        )

    async def _begin(self, dispatch: Dispatch, release: Release, members: Sequence[Waiting], *, turn: bool) -> bool:
        now = self._clock()
        try:
            await self._kept(lambda db: inbox.begin(db, dispatch, now, turn=turn))
        except inbox.Taken:
            numbers = [one.delivery for one in members]
            left = await self._database.read(lambda db: inbox.still_pending(db, numbers))
            self._flow.put_back(release, [one for one in members if one.delivery in left])
            return False
        return True

    # Every attempt ---------------------------------------------------------------------------------------------

    async def _again(self, retry: Retry) -> None:
        dispatch = retry.dispatch
        dispatch.attempts += 1
        now = self._clock()
        rerun, dispatch.rerun = dispatch.rerun, False
        if rerun:
            self._flow.budgets.spend(now, dispatch.route_id)
        if not await self._kept(lambda db: inbox.begin_again(db, dispatch, now, new_run=rerun)):
            return  # the operator dropped it
        route = self._book.get(dispatch.route_id)
        if route is None:
            await self._kept(lambda db: inbox.bury(db, dispatch, self._book.why_missing(dispatch.route_id), now))
            return
        if why := over(dispatch, now):
            await self._bury(dispatch, why)
            return
        if not dispatch.apart:
            dispatch.target = with_target(dispatch.target, route)
        await self._send(retry.lane, route, dispatch)

    async def _send(self, lane: str, route: Route, dispatch: Dispatch) -> None:
        parcel = parcel_of(dispatch)
        if parcel.kind in TURN_KINDS:
            self._guard.started(parcel.key, parcel.hops)
        await self._gate.wait()
        try:
            receipt = await self._senders[parcel.kind].send(parcel)
        except RetryLater as error:
            self._meters.failures.labels(parcel.kind).inc()
            await self._failed(lane, route, dispatch, error)
        except GiveUp as error:
            self._meters.failures.labels(parcel.kind).inc()
            self._flow.breaker(lane).succeed()  # it answered; it does not want this one
            await self._bury(dispatch, str(error))
        else:
            await self._delivered(lane, dispatch, receipt, turn=parcel.kind in TURN_KINDS)

    async def _delivered(self, lane: str, dispatch: Dispatch, receipt: Receipt, *, turn: bool) -> None:
        now = self._clock()
        kept = Receipt(receipt.way, receipt.run_id, receipt.outcome, receipt.reply[:_REPLY_CHARACTERS])
        await self._kept(lambda db: inbox.deliver(db, dispatch, kept, now))
        self._flow.breaker(lane).succeed()
        if turn:
            self._gateway_answers()
        self._meters.ended(dispatch.route, "delivered", dispatch.events)
        self._meters.latency.observe(now - dispatch.created_at)

    def _gateway_answers(self) -> None:
        if self._flow.gateway.open:
            self._flow.gateway.succeed()
            self._flow.gateway_changed()

    async def _failed(self, lane: str, route: Route, dispatch: Dispatch, error: RetryLater) -> None:
        now = self._clock()
        self._note_failure(lane, route, error, now)
        own = error.scope == "delivery" and error.counts
        if error.counts:
            dispatch.failures += 1
            tried_long_enough = own or now - dispatch.created_at >= sum(route.backoff)
            if dispatch.failures > len(route.backoff) and tried_long_enough:
                await self._bury(dispatch, f"given up after {plural(dispatch.attempts, 'attempt')}: {error}")
                return
        wait = 0.0
        if own:
            wait = route.backoff[dispatch.failures - 1]
        elif not self._flow.breaker(lane).open and not self._flow.gateway.open:
            wait = wait_after(dispatch.failures, 1.0, 60.0)
        dispatch.way = error.way
        if error.rerun:
            dispatch.runs, dispatch.rerun = dispatch.runs + 1, True
        elif error.gateway_age is not None and dispatch.created_at < now - error.gateway_age:
            dispatch.runs += 1  # no turn came of the key that a Gateway before this one may have accepted
        dispatch.due_at = now + max(wait, error.retry_after)
        if dispatch.rerun:
            dispatch.due_at = max(dispatch.due_at, self._flow.budgets.wait(now, dispatch.route_id)[0])
        dispatch.changed_at = now
        await self._kept(lambda db: inbox.fail(db, dispatch, str(error), now))
        log.info(
            "delivery.failed", dispatch=dispatch.id, route=dispatch.route, attempt=dispatch.attempts, error=str(error)
        )
        self._flow.retry(lane, dispatch)

    def _note_failure(self, lane: str, route: Route, error: RetryLater, now: float) -> None:
        breaker, gateway = self._flow.breaker(lane), self._flow.gateway
        if error.scope == "gateway":
            gateway.fail(now, str(error), threshold=1, retry_after=error.retry_after)
            self._flow.gateway_changed()
            return
        if route.target.is_turn:
            self._gateway_answers()
        if error.scope == "target":
            threshold = 1 if route.policy.concurrency == 1 else _BREAKER_THRESHOLD
            breaker.fail(now, str(error), threshold=threshold, retry_after=error.retry_after)
        else:
            breaker.succeed()

    async def _bury(self, dispatch: Dispatch, reason: str) -> None:
        now = self._clock()
        await self._kept(lambda db: inbox.bury(db, dispatch, reason, now))
        self._meters.ended(dispatch.route, "dead", dispatch.events)
        log.warning("delivery.dead", dispatch=dispatch.id, route=dispatch.route, events=dispatch.events, reason=reason)

    async def _kept(self, job: Callable[[Connection], T]) -> T:
        """Write, and go on trying while the disk is full: what happened must not be forgotten."""
        while True:
            try:
                return await self._database.write(job)
            except Unavailable:
                await asyncio.sleep(_DISK_PAUSE)
