"""What turns cost, from what models answered (`llm.output` events under a valid seal): the newest MAX_CALLS of a time.

A call's cost is what was reported, else its tokens at the price of its model. It belongs to the route whose dispatch it
goes back to. A turn is one run; a turn was avoided for each event that went out together with another one.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from openclaw_nats.contract.spending import PerDay, Spending, SpendingBy, SpendingLine
from openclaw_nats.events.subjects import LLM_OUTPUT
from openclaw_nats.insight.model_calls import ModelCall, call_of
from openclaw_nats.ports import EventLog
from openclaw_nats.storage.costs import Avoided
from openclaw_nats.terminal_text import plural

MAX_CALLS = 50_000
MEAN_SECONDS = 7 * 86400.0
_CACHE_SECONDS = 5.0


@dataclass
class _Calls:
    found: list[ModelCall]
    routes: Mapping[str, str]
    complete: bool
    read_at: float


@dataclass
class _Sum:
    line: SpendingLine
    runs: set[str] = field(default_factory=set)


class SpendingView:
    """Answers. `routes_of` names the route of each dispatch, `avoided` what each route's turns have absorbed since."""

    def __init__(
        self,
        log: EventLog,
        prices: Mapping[str, Mapping[str, float]],
        routes_of: Callable[[Sequence[str]], Awaitable[dict[str, str]]],
        avoided: Callable[[float], Awaitable[list[Avoided]]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._log = log
        self._prices = prices
        self._routes_of = routes_of
        self._avoided = avoided
        self._clock = clock
        self._kept: dict[float, _Calls] = {}

    async def by(self, kind: SpendingBy, seconds: float) -> Spending:
        """What was used in the last `seconds`, most money first, days in their order. Raises Unavailable."""
        calls = await self._calls(seconds)
        lines = _lines(calls, kind)
        total = _lines(calls, None).get("") or _nothing("")
        avoided = await self._avoided(self._clock() - seconds)
        costs = {name: line.cost / line.turns for name, line in _lines(calls, "route").items() if line.turns}
        for one in avoided:
            cost = one.turns * costs.get(one.route, 0.0)
            for line in (total, *([lines.setdefault(one.route, _nothing(one.route))] if kind == "route" else [])):
                line.avoided += one.turns
                line.avoided_cost += cost
        ordered = sorted(lines.values(), key=lambda line: (-line.cost, -line.input - line.output, line.name))
        if kind == "day":
            ordered.sort(key=lambda line: line.name)
        return Spending(kind, seconds, ordered, total, calls.complete)

    async def per_day(self, turns: float, route: str, agent: str) -> PerDay:
        """What so many turns of a route use, at the mean of its own turns, else at that of its agent's."""
        calls = await self._calls(MEAN_SECONDS)
        for line, whose in (
            (_lines(calls, "route").get(route), "the route's own"),
            (_lines(calls, "agent").get(agent), f"agent {agent}'s"),
        ):
            if line is not None and line.turns:
                tokens = (line.input + line.output + line.cache_read + line.cache_write) / line.turns
                known = line.cost or not line.unpriced
                cost = turns * line.cost / line.turns if known else None
                return PerDay(turns, turns * tokens, cost, f"{whose} {plural(line.turns, 'turn')} of the last 7 days")
        return PerDay(turns, None, None, "no turn of the last 7 days was measured")

    async def _calls(self, seconds: float) -> _Calls:
        now = self._clock()
        kept = self._kept.get(seconds)
        if kept is not None and 0 <= now - kept.read_at <= _CACHE_SECONDS:
            return kept
        found = []
        async for message in self._log.read(subject=LLM_OUTPUT, since=now - seconds, limit=MAX_CALLS, follow=False):
            if message is None or not message.believed:  # what somebody else says of models counts nothing
                continue
            if (call := call_of(message.body, message.time / 1e9, self._prices)) is not None:
                found.append(call)
        dispatches = list({call.dispatch for call in found if call.dispatch})
        calls = _Calls(found, await self._routes_of(dispatches), len(found) < MAX_CALLS, now)
        self._kept = {key: one for key, one in self._kept.items() if now - one.read_at <= _CACHE_SECONDS}
        self._kept[seconds] = calls
        return calls


def _lines(calls: _Calls, kind: SpendingBy | None) -> dict[str, SpendingLine]:
    """The sums by name; without a kind all under one."""
    sums: dict[str, _Sum] = {}
    for call in calls.found:
        name = _name(call, kind, calls.routes)
        one = sums.setdefault(name, _Sum(_nothing(name)))
        line = one.line
        line.calls += 1
        line.input += call.tokens[0]
        line.output += call.tokens[1]
        line.cache_read += call.tokens[2]
        line.cache_write += call.tokens[3]
        line.cost += call.cost
        line.unpriced += call.unpriced
        one.runs.add(call.run)
    for one in sums.values():
        one.line.turns = len(one.runs)
    return {name: one.line for name, one in sums.items()}


def _name(call: ModelCall, kind: SpendingBy | None, routes: Mapping[str, str]) -> str:
    match kind:
        case "agent":
            return call.agent
        case "model":
            return call.model
        case "day":
            return call.day
        case "route":
            return routes.get(call.dispatch, "")
        case None:
            return ""


def _nothing(name: str) -> SpendingLine:
    return SpendingLine(name, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0)
