"""What turns cost, from what models answered (`llm.output` events under a valid seal): the newest MAX_CALLS of a time.

A call's cost is what was reported, else its tokens at the price of its model. It belongs to the route whose dispatch it
goes back to. A turn is one run; a turn was avoided for each event that went out together with another one.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from openclaw_nats.contract.spending import PerDay, Spending, SpendingBy, SpendingLine
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.inbound.costs import cost_of, output_of, unpriced
from openclaw_nats.ports import EventLog
from openclaw_nats.storage.costs import Avoided
from openclaw_nats.terminal_text import plural

MAX_CALLS = 50_000
MEAN_SECONDS = 7 * 86400.0
_LLM_OUTPUT = "agent.events.llm.output"
_CACHE_SECONDS = 5.0
_DAY = 86400.0
_KINDS = ("input", "output", "cacheRead", "cacheWrite")
_MOST = 1e15


class _Facts(msgspec.Struct):
    agentid: Any = ""
    runid: Any = ""
    causationid: Any = ""
    data: msgspec.Raw = msgspec.Raw(b"null")


@dataclass(frozen=True, slots=True)
class _Call:
    day: str
    agent: str
    model: str
    run: str
    dispatch: str
    tokens: tuple[float, float, float, float]
    cost: float
    unpriced: bool


@dataclass
class _Calls:
    found: list[_Call]
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
        async for message in self._log.read(subject=_LLM_OUTPUT, since=now - seconds, limit=MAX_CALLS, follow=False):
            if message is None or not message.believed:  # what somebody else says of models counts nothing
                continue
            if (call := self._call(message.body, message.time / 1e9)) is not None:
                found.append(call)
        dispatches = list({call.dispatch for call in found if call.dispatch})
        calls = _Calls(found, await self._routes_of(dispatches), len(found) < MAX_CALLS, now)
        self._kept = {key: one for key, one in self._kept.items() if now - one.read_at <= _CACHE_SECONDS}
        self._kept[seconds] = calls
        return calls

    def _call(self, body: bytes, at: float) -> _Call | None:
        try:
            facts = msgspec.json.decode(body, type=_Facts)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        output = output_of(bytes(facts.data))
        used = output.usage if isinstance(output.usage, dict) else {}
        tokens = [_number(used.get(kind)) for kind in _KINDS]
        return _Call(
            day=format_seconds(at)[:10],
            agent=_text(facts.agentid),
            model=_text(output.model),
            run=_text(facts.runid),
            dispatch=_text(facts.causationid),
            tokens=(tokens[0], tokens[1], tokens[2], tokens[3]),
            cost=cost_of(output, self._prices),
            unpriced=bool(unpriced(output, self._prices)),
        )


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


def _name(call: _Call, kind: SpendingBy | None, routes: Mapping[str, str]) -> str:
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


def _text(value: object) -> str:
    return value[:200] if isinstance(value, str) else ""


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        return 0.0
    return float(min(value, _MOST))
