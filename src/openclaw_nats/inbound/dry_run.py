"""A dry run: what a route would have done with events, by the real matcher, conditions, flow control and renderer.

Time is simulated: events come when they were stored, a turn takes TURN_SECONDS, and nothing is sent or kept.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Mapping

import msgspec

from openclaw_nats.contract import routes as shapes
from openclaw_nats.errors import InvalidInput, Poison
from openclaw_nats.events import json_text
from openclaw_nats.events.decoding import decode_message
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.subjects import check_subject, matches
from openclaw_nats.inbound.budgets import Budgets, Limit
from openclaw_nats.inbound.flow_control import FlowControl
from openclaw_nats.inbound.forgeries import forgery
from openclaw_nats.inbound.groups import Release
from openclaw_nats.inbound.judging import Judge
from openclaw_nats.inbound.render_process import TooLong
from openclaw_nats.inbound.rendering import Renderer
from openclaw_nats.inbound.route import Route, compile_route, parse
from openclaw_nats.ports import EventLog
from openclaw_nats.storage.rows import Waiting
from openclaw_nats.url_secrets import MASK

TURN_SECONDS = 10.0
MAX_EVENTS = 20_000
MAX_BYTES = 64 << 20  # of events: the newest
MAX_TEXTS = 20
MAX_SHOWN = 200
_BETWEEN = 50  # steps, after which others have their turn


class DryRun:
    """Tries routes out; `route` may be one that is not saved yet."""

    def __init__(
        self,
        log: EventLog,
        renderer: Renderer,
        judge: Judge,
        limits: tuple[Limit, ...],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._judge = judge
        self._log = log
        self._renderer = renderer
        self._limits = limits
        self._clock = clock

    async def event(self, route: Route, event: Mapping[str, object]) -> shapes.DryRun:
        """What would become of one event, as JSON or a whole CloudEvent with `subject`."""
        subject = event.get("subject")
        if not isinstance(subject, str):
            raise InvalidInput("event must be an object with a subject, and its data as data", field="event")
        now = self._clock()
        document = {
            "specversion": "1.0",
            "id": "dry-run",
            "source": "dry-run",
            "type": "dry-run",
            "time": format_seconds(now),
            **event,
        }
        message = StoredMessage(1, check_subject(subject), {}, msgspec.json.encode(document), int(now * 1e9), 0)
        return await self._report(route, [message])

    async def replay(self, route: Route, seconds: float) -> shapes.DryRun:
        """What the route would have done with what was stored in the last `seconds`."""
        messages, size, left_out = deque[StoredMessage](), 0, 0
        found = self._log.read(subject=route.pattern, since=self._clock() - seconds, limit=MAX_EVENTS, follow=False)
        async for message in found:
            if message is None:
                continue
            messages.append(message)
            size += len(message.body)
            while size > MAX_BYTES and len(messages) > 1:
                size -= len(messages.popleft().body)
                left_out += 1
        return await self._report(route, list(messages), left_out)

    async def _report(self, route: Route, messages: list[StoredMessage], left_out: int = 0) -> shapes.DryRun:
        judged, documents, arrivals = await self._judge_all(route, messages)
        turns = await self._simulate(route, arrivals)
        shown = []
        for at, members in turns[:MAX_TEXTS]:
            texts = [json_text.shown(documents[one.order]) for one in members]
            shown.append(
                shapes.PlannedTurn(
                    at=format_seconds(at),
                    events=[one.event_id for one in members],
                    text=await self._text(route, texts),
                )
            )
        matched = sum(one.matched for one in judged)
        return shapes.DryRun(
            route=route.name,
            target=route.target.shown(secret=MASK),
            events=len(messages),
            matched=matched,
            turns=len(turns),
            avoided=matched - len(turns) if matched else 0,
            first_turns=shown,
            judged=judged[-MAX_SHOWN:],
            assumes=f"a turn takes {TURN_SECONDS:g} s, and no other route uses the budgets" + _unread(left_out),
        )

    async def _text(self, route: Route, documents: list[dict[str, object]]) -> str:
        try:
            return await self._renderer.render(route, documents)
        except Poison as error:
            return f"[dead letter: {error}]"
        except TooLong:
            return "[longer than delivery.max_text: it would go out as several turns]"

    async def _simulate(self, route: Route, arrivals: list[tuple[str, Waiting]]) -> list[tuple[float, list[Waiting]]]:
        per_route = Limit(self._limits[-1].name, self._limits[-1].count, self._limits[-1].seconds)
        flow = FlowControl(Budgets(self._limits[:-1], per_route))
        flow.set_route(route.id, route.target.lane, route.policy, enabled=True)
        turns: list[tuple[float, list[Waiting]]] = []
        running: list[float] = []
        queue = list(reversed(arrivals))
        now = arrivals[0][1].arrived if arrivals else 0.0
        for step in itertools.count(1):
            if not (queue or running or flow.waiting):
                break
            if step % _BETWEEN == 0:
                await asyncio.sleep(0)
            while queue and queue[-1][1].arrived <= now:
                flow.add(route.id, *queue.pop())
            while running and running[0] <= now:
                running.pop(0)
                flow.done(route.target.lane)
            for release in flow.release(now).releases:
                if isinstance(release, Release):
                    turns.append((now, release.members))
                    running.append(now + (TURN_SECONDS if route.target.is_turn else 0.0))
            moments = [queue[-1][1].arrived] if queue else []
            moments += running[:1]
            wake = flow.next_wake()
            if wake is not None:
                moments.append(wake)
            later = [moment for moment in moments if moment > now]
            if not later:
                break
            now = min(later)
        return turns

    async def _judge_all(
        self, route: Route, messages: list[StoredMessage]
    ) -> tuple[list[shapes.Judged], dict[int, bytes], list[tuple[str, Waiting]]]:
        """(each event with the verdict, the documents of those that match by sequence, those as they arrive)."""
        judged, documents, arrivals = [], {}, []
        for number, message in enumerate(messages, 1):
            if number % _BETWEEN == 0:
                await asyncio.sleep(0)
            decoded, reason = decode_message(message)
            key: str | None = None
            if not matches(route.pattern, message.subject):
                reason = "the pattern does not cover its subject"
            elif forged := forgery(message):
                reason = f"dropped: {forged}"
            elif not reason:
                try:
                    key = await self._judge.judge(route, decoded)
                    reason = "" if key is not None else "a condition does not hold"
                except Poison as error:
                    reason = f"dead letter: {error}"
            judged.append(shapes.Judged(decoded.id, message.subject, key is not None, reason))
            if key is not None:
                documents[message.sequence] = decoded.document
                at = message.time / 1e9
                priority = route.document.priority or decoded.priority
                size = len(decoded.document)
                arrivals.append(
                    (key, Waiting(0, "", decoded.id, message.sequence, priority, decoded.hops, size, at, at))
                )
        return judged, documents, arrivals


def _unread(left_out: int) -> str:
    return f"; the oldest {left_out} events were left out: all are over {MAX_BYTES >> 20} MiB" if left_out else ""


def draft(value: object) -> Route:
    """A route that is not saved, compiled; raise InvalidRoute."""
    return compile_route(parse(value))
