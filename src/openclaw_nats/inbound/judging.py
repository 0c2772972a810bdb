"""Whether an event is for a route: in the event loop when that is surely quick, else in a process with limits.

After a condition took too long on SLOW events, it is not asked for PAUSE_SECONDS about events of their size: those are
dead letters at once, and neither its other events nor other routes wait for them. The conditions of one agent's routes
together may take AGENT_SECONDS a minute, not counting answers that are quick.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Protocol

import msgspec

from openclaw_nats.errors import Poison
from openclaw_nats.events.condition_worker import Request, Verdict
from openclaw_nats.events.conditions import Condition, Context, Expression
from openclaw_nats.events.decoding import Decoded
from openclaw_nats.events.makers import Maker
from openclaw_nats.sandbox.process import Worker

SLOW = 3
PAUSE_SECONDS = 60.0
AGENT_SECONDS = 2.0
MOST_VALUES = 4000  # of a document that is looked at in the event loop: 10 ms for the interpreter
_QUICK = 0.05
_ALIKE = 4  # a fourth of the size may still take as long; less is taken for harmless
_REMEMBERED = 1000

# Who, and when how much of what was used.
_Minutes = dict[Hashable, list[tuple[float, float]]]
_verdict = msgspec.json.Decoder(Verdict).decode


class Judged(Protocol):
    """What events are judged for: a route, or another rule with a key."""

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """All have to hold."""

    @property
    def key(self) -> Expression | None:
        """Which events belong together."""

    @property
    def maker(self) -> Maker | None:
        """The agent that made it; None for the operator's."""

    @property
    def looks_inside(self) -> bool:
        """Whether it has to see an event's content."""

    def is_cheap(self, size: int) -> bool:
        """Whether it may judge a document of `size` bytes in the event loop."""

    def judge(self, context: Context) -> str | None:
        """The event's key, None when a condition does not hold; raise Poison."""


class Judge:
    """Judges events for routes and other rules."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        warm = msgspec.json.encode(Request([], "", "{}"))
        self._worker = Worker("openclaw_nats.events.condition_worker", "the condition", warm)
        self._clock = clock
        self._slow: _Minutes = {}
        self._spent: _Minutes = {}

    async def judge(self, route: Judged, event: Decoded) -> str | None:
        """The flow key of an event for a route, None when a condition does not hold.

        Raises Poison when one fails on the event or takes too long, Unavailable when no process can be started.
        """
        if not route.looks_inside:
            return ""
        document = event.document
        if event.values <= MOST_VALUES and route.is_cheap(len(document)):
            return route.judge(event.context)
        sources = tuple(one.source for one in route.conditions)
        key = route.key.source if route.key is not None else ""
        agent = route.maker.agent if route.maker is not None else ""
        self._check_pause((*sources, key), agent, len(document))
        facts = Request(list(sources), key, document.decode(), event.origin.name, event.believed)
        request = msgspec.json.encode(facts)
        began = self._clock()
        try:
            found = _verdict(await self._worker.ask(request))
        except Poison:
            self._note(self._slow, (*sources, key), len(document))
            raise
        finally:
            if agent and (seconds := self._clock() - began) > _QUICK:
                self._note(self._spent, agent, seconds)
        if found.error:
            raise Poison(found.error)
        return found.key

    async def explain(self, route: Judged, event: Decoded) -> str:
        """Which part of a condition does not hold on an event, with the event's values; empty when that is not known.

        Always in the process with limits. Raises Unavailable when none can be started.
        """
        sources = [one.source for one in route.conditions]
        facts = Request(sources, "", event.document.decode(), event.origin.name, event.believed, explain=True)
        try:
            return _verdict(await self._worker.ask(msgspec.json.encode(facts))).said_no
        except Poison:
            return ""

    def _check_pause(self, expression: tuple[str, ...], agent: str, size: int) -> None:
        slow = self._lately(self._slow, expression)
        if len(slow) >= SLOW and size * _ALIKE >= min(slow):
            raise Poison(
                f"the condition took too long on {len(slow)} events of this size or more: it is tried again after "
                "a minute"
            )
        if agent and (seconds := sum(self._lately(self._spent, agent))) >= AGENT_SECONDS:
            raise Poison(
                f"conditions of agent {agent} took {seconds:.1f} s of the last minute, of which they may have "
                f"{AGENT_SECONDS:g}"
            )

    def _lately(self, minutes: _Minutes, who: Hashable) -> list[float]:
        return [much for at, much in minutes.get(who, ()) if self._clock() - at < PAUSE_SECONDS]

    def _note(self, minutes: _Minutes, who: Hashable, much: float) -> None:
        now = self._clock()
        minutes[who] = [(at, one) for at, one in minutes.get(who, ()) if now - at < PAUSE_SECONDS] + [(now, much)]
        if len(minutes) > _REMEMBERED:
            del minutes[next(iter(minutes))]

    async def close(self) -> None:
        """Stop the process."""
        await self._worker.close()
