"""Why a route did not fire: an event is taken through every gate that decides, by the code that decides.

The gates of the intake are asked as it asks them; those of flow control say what holds now. Nothing is changed. What
is asked of many events ends after SECONDS, newest first.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from msgspec import UNSET

from openclaw_nats.contract.why import EventGates, Gate, GateName, Stopped, Why
from openclaw_nats.errors import NotFound
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.events.identity import event_of
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.subjects import EVERYTHING, matches
from openclaw_nats.inbound.admission import Admission, Candidate
from openclaw_nats.inbound.flow_control import FlowControl
from openclaw_nats.inbound.judging import Judge
from openclaw_nats.inbound.route import Route
from openclaw_nats.ports import EventLog
from openclaw_nats.storage import listing
from openclaw_nats.storage.database import Database
from openclaw_nats.storage.listed import ListedDelivery
from openclaw_nats.terminal_text import plural

MAX_EVENTS = 2000
MAX_BYTES = 32 << 20
SHOWN = 20
SECONDS = 10.0
_CHUNK = 500
_BETWEEN = 20  # events, after which others have their turn
_STATE_GATES: dict[str, GateName] = {"failed": "target", "dead": "target", "dropped": "inbox", "expired": "lateness"}
Newest = Callable[[str, int], AsyncIterator[StoredMessage]]


class WhyNot:
    """Answers for saved routes. `behind` says why events do not come out of the stream; empty when they do."""

    def __init__(
        self,
        *,
        log: EventLog,
        newest: Newest,
        database: Database,
        admission: Admission,
        judge: Judge,
        flow: FlowControl,
        behind: Callable[[], str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._log = log
        self._newest = newest
        self._database = database
        self._admission = replace(admission, judge=judge)  # not that of what comes in: this must not hold it up
        self._judge = judge
        self._flow = flow
        self._behind = behind
        self._clock = clock

    async def event(self, route: Route, sequence: int) -> Why:
        """One event of the stream; raise NotFound."""
        found = self._log.read(subject=EVERYTHING, since=0.0, limit=None, follow=False, after=sequence - 1)
        async for message in found:
            if message is not None and message.sequence == sequence:
                one = (await self._ask(route, [message]))[0]
                one = await self._explained(route, message, one)
                stopped = _counted([one])
                delivered = int(one.state == "delivered")
                return Why(route.name, one.verdict, 1, delivered, stopped, [one], complete=True)
            break
        raise NotFound(f"the stream has no event {sequence}", hint="It may be older than stream.max_age.")

    async def since(self, route: Route, seconds: float) -> Why:
        """What was stored on the route's pattern in the last `seconds`."""
        messages, complete = await self._newest_of(route.pattern, seconds)
        found = await self._ask(route, messages)
        left = [pair for pair in zip(messages, found, strict=False) if pair[1].state != "delivered"]
        delivered = len(found) - len(left)
        stopped = _counted([one for _, one in left])  # before each says which part of a condition it was
        shown = [await self._explained(route, message, one) for message, one in left[:SHOWN]]
        verdict = _verdict(len(found), delivered, stopped) if found else await self._nothing(route)
        complete = complete and len(found) == len(messages)
        return Why(route.name, verdict, len(found), delivered, stopped, shown, complete)

    async def _newest_of(self, pattern: str, seconds: float) -> tuple[list[StoredMessage], bool]:
        """(what was stored on a pattern in the last `seconds`, newest first, as much as is looked at; whether all)."""
        messages, size, complete = deque[StoredMessage](), 0, True
        since = self._clock() - seconds
        async for message in self._log.read(subject=pattern, since=since, limit=MAX_EVENTS + 1, follow=False):
            if message is None:
                continue
            messages.append(message)
            size += len(message.body)
            while len(messages) > MAX_EVENTS or (size > MAX_BYTES and len(messages) > 1):
                size -= len(messages.popleft().body)
                complete = False
        return list(messages)[::-1], complete

    async def _nothing(self, route: Route) -> str:
        text = f"no event was stored on {route.pattern} in that time"
        async for message in self._newest(route.pattern, 1):
            at = format_seconds(message.time / 1e9)
            return f"{text}; the newest one is event {message.sequence} of {at}"
        return f"{text}, and the stream has none at all: who publishes it, and on this subject?"

    async def _ask(self, route: Route, messages: Sequence[StoredMessage]) -> list[EventGates]:
        """Each event at the gates, as far as the time goes."""
        known = await self._known(route, messages)
        until = time.monotonic() + SECONDS
        found: list[EventGates] = []
        for number, message in enumerate(messages, 1):
            if found and time.monotonic() > until:
                break
            if number % _BETWEEN == 0:
                await asyncio.sleep(0)
            found.append(await self._through(route, message, known.get(event_of(message))))
        return found

    async def _known(self, route: Route, messages: Sequence[StoredMessage]) -> dict[str, ListedDelivery]:
        places = [event_of(message) for message in messages]
        known: dict[str, ListedDelivery] = {}
        for begin in range(0, len(places), _CHUNK):
            part = places[begin : begin + _CHUNK]
            known |= await self._database.read(partial(listing.of_places, route_id=route.id, places=part))
        return known

    async def _through(self, route: Route, message: StoredMessage, delivery: ListedDelivery | None) -> EventGates:
        one = self._admission.look_at(message)
        key, failed = await self._admission.asked(route, one)
        condition = failed if key is not None else "a condition does not hold"
        gates = list(self._of_intake(route, one, condition))
        gates.append(self._inbox(gates, delivery))
        gates += self._of_flow(route, key if delivery is None else delivery.flow_key)
        gate, why = _stop(gates, delivery)
        return EventGates(
            sequence=message.sequence,
            id=one.decoded.id,
            subject=message.subject,
            origin=one.decoded.origin.name,
            stored_at=format_seconds(message.time / 1e9),
            verdict=why,
            stopped_by=gate or UNSET,
            delivery=UNSET if delivery is None else delivery.id,
            state=UNSET if delivery is None else delivery.state,
            gates=gates,
        )

    def _of_intake(self, route: Route, one: Candidate, condition: str) -> Iterator[Gate]:
        gates = self._admission
        subject = one.message.subject
        yield _gate("enabled", "" if route.document.enabled else "the route is disabled", "the route is enabled")
        apart = "" if matches(route.pattern, subject) else f"{route.pattern} does not cover {subject}"
        yield _gate("pattern", apart, f"{route.pattern} covers it")
        stored = gates.too_early(route, one) or gates.old_copy(route, one) or gates.of_another(route, one)
        yield _gate("stored", stored, "it was stored after the route was made")
        whose = f"agent {route.maker.agent}, which made the route, may see it" if route.maker else "the route is yours"
        yield _gate("agents", gates.unseen(route, one), whose)
        yield _gate("origin", one.forged, f"it comes from {one.decoded.origin.name}")
        yield _gate("readable", one.broken, "it can be read as an event")
        yield _gate("condition", condition, "its conditions hold" if route.conditions else "it has no condition")
        deep = gates.own_letter(route, one) or gates.guard.too_deep(one.hops)
        yield _gate("loop guard", deep, f"{one.hops} dispatches deep, of {gates.guard.max_hops}")
        yield _gate("lateness", one.late, "it did not come too late")

    def _inbox(self, before: Sequence[Gate], delivery: ListedDelivery | None) -> Gate:
        if delivery is not None:
            return _gate("inbox", "", f"it is delivery {delivery.id}, {delivery.state}")
        if not all(gate.passed for gate in before):
            return _gate("inbox", "it was not taken in", "")
        if behind := self._behind():
            return _gate("inbox", f"it did not come out of the stream yet: {behind}", "")
        return _gate("inbox", "no delivery of it is known: it is still to come, or was forgotten after inbox.keep", "")

    def _of_flow(self, route: Route, key: str | None) -> Iterator[Gate]:
        """What holds now; whether the route is enabled was asked before."""
        for name, until, why in self._flow.gates(route.id, key or "", self._clock()):
            if name != "enabled":
                yield _gate(name, why, "open now", until)  # type: ignore[arg-type]

    async def _explained(self, route: Route, message: StoredMessage, one: EventGates) -> EventGates:
        """With the part of a condition that said no."""
        gate = next(gate for gate in one.gates if gate.gate == "condition")
        if gate.passed or not (said := await self._judge.explain(route, self._admission.look_at(message).decoded)):
            return one
        gate.answer = said
        if one.stopped_by == "condition":
            one.verdict = said
        return one


def _gate(name: GateName, why: str, yes: str, until: float = 0.0) -> Gate:
    return Gate(name, not why, why or yes, format_seconds(until) if until else UNSET)


def _stop(gates: Sequence[Gate], delivery: ListedDelivery | None) -> tuple[GateName | None, str]:
    """(the gate that holds an event or stopped it, why); (None, what became of it) when none did."""
    no = next((gate for gate in gates if not gate.passed), None)
    if delivery is None:
        return (no.gate, no.answer) if no is not None else (None, "every gate lets it through")
    if delivery.state in ("delivered", "sending"):
        return None, f"it fired: delivery {delivery.id} is {delivery.state}"
    if delivery.state == "pending":  # what the intake would say today does not matter any more
        behind = [gate.gate for gate in gates].index("inbox")
        held = next((gate for gate in gates[behind:] if not gate.passed), None)
        return (held.gate, f"it waits: {held.answer}") if held is not None else ("target", "it is about to go out")
    gate = _STATE_GATES[delivery.state]
    if no is not None and no.answer == delivery.reason:
        gate = no.gate
    return gate, f"delivery {delivery.id} is {delivery.state}: {delivery.reason}"


def _counted(found: Sequence[EventGates]) -> list[Stopped]:
    """How many events each gate stopped for which reason, the most frequent first; `found` is newest first."""
    counts: dict[tuple[GateName, str], Stopped] = {}
    for one in found:
        if one.stopped_by is UNSET:
            continue
        reason = next((gate.answer for gate in one.gates if gate.gate == one.stopped_by and not gate.passed), "")
        reason = reason or one.verdict.partition(": ")[2] or one.verdict
        known = counts.setdefault((one.stopped_by, reason), Stopped(one.stopped_by, reason, 0, one.sequence))
        known.events += 1
    return sorted(counts.values(), key=lambda stopped: -stopped.events)[:SHOWN]


def _verdict(events: int, delivered: int, stopped: Sequence[Stopped]) -> str:
    said = f"{delivered} of {plural(events, 'event')} on its pattern went out"
    if not stopped:
        return said
    most = stopped[0]
    return f"{said}; {most.events} did not because of the gate {most.gate}: {most.reason}"
