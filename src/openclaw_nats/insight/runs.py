"""The list of agent runs: the index finds them, the stream says how they ended and what their models used."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec

from openclaw_nats.contract.runs import RunLine, RunPage, RunResult
from openclaw_nats.events.envelope import format_time
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.subjects import LLM_OUTPUT, RUN_ENDED
from openclaw_nats.insight.history import History, MessageLog
from openclaw_nats.insight.model_calls import ModelCall, call_of, short_text
from openclaw_nats.storage import event_search, run_search
from openclaw_nats.storage.event_search import Wanted
from openclaw_nats.storage.run_search import GATEWAY, RunEvents

MOST_EVENTS = 1000  # of one run
MOST_OPEN = 200
MOST_CALLS = 100  # of models, of one run
_SEARCH_SECONDS = 2.0
_AT_ONCE = 50
_NEWEST = 10**18 - 1
_TOOL = "agent.events.tool."
_SPAWNED = "agent.events.subagent.spawned"
_LONGEST_SECONDS = 31 * 86400.0


@dataclass(frozen=True, slots=True)
class RunsWanted:
    """Which runs: `events` filters by agent, session and time; what is empty is not asked for."""

    events: Wanted
    route: str = ""
    result: RunResult | None = None


class _End(msgspec.Struct, rename="camel"):
    success: Any = None
    status: Any = ""
    error: Any = ""
    duration_ms: Any = None


class _Ended(msgspec.Struct):
    causationid: Any = ""
    data: msgspec.Raw = msgspec.Raw(b"null")


class Runs:
    """Answers. `routes_of` names the route of each dispatch."""

    def __init__(
        self,
        history: History,
        log: MessageLog,
        prices: Mapping[str, Mapping[str, float]],
        routes_of: Callable[[Sequence[str]], Awaitable[dict[str, str]]],
    ) -> None:
        self._history = history
        self._log = log
        self._prices = prices
        self._routes_of = routes_of

    async def page(self, wanted: RunsWanted, cursor: int | None, limit: int) -> RunPage:
        """The newest runs that are wanted, of those that ended before a sequence. Raises Unavailable."""
        report = await self._history.report(wait=cursor is None)
        runs: list[RunLine] = []
        if cursor is None and wanted.result in (None, "open"):
            numbers = await self._history.ask(lambda index: run_search.open_runs(index, wanted.events, MOST_OPEN))
            runs = [one for one in await self._lines(numbers, wanted) if one.result == "open"]
        most = len(runs) + limit
        before, at, ended = _NEWEST if cursor is None else cursor, 0, wanted.result == "open"
        deadline = time.monotonic() + _SEARCH_SECONDS
        ends = replace(wanted.events, subject=RUN_ENDED, origin=GATEWAY, failed=wanted.result == "failed")
        while len(runs) < most and not ended:
            some = min(_AT_ONCE, most - len(runs))
            found = await self._ends(ends, before, some, deadline)
            there = [sequence for sequence, _ in found.candidates]
            numbers = await self._history.ask(partial(run_search.runs_at, sequences=there))
            known = {one.run for one in runs}
            runs += [one for one in await self._lines(numbers, wanted) if one.result != "open" and one.run not in known]
            before, at, ended = found.down_to, found.at or at, found.ended
            if time.monotonic() > deadline:
                break
        return RunPage(
            runs=runs,
            cursor=None if ended else str(before),
            looked_back_to=report.oldest if ended else format_time(at) if at else None,
            index=report,
        )

    async def _ends(self, wanted: Wanted, before: int, limit: int, deadline: float) -> event_search.Found:
        seconds = max(0.1, deadline - time.monotonic())
        return await self._history.ask(lambda index: event_search.search(index, wanted, before, limit, seconds))

    async def _lines(self, numbers: Sequence[int], wanted: RunsWanted) -> list[RunLine]:
        """The runs with these numbers that are wanted, in that order."""
        if not numbers:
            return []
        found = await self._history.ask(lambda index: run_search.events_of(index, numbers, MOST_EVENTS))
        asked = [one for events in found.values() for one in _worth_reading(events)]
        messages = {one.sequence: one for one in await self._log.at(asked)}
        lines = [self._line(found[number], messages) for number in numbers if number in found]
        lines = [one for one in lines if one.calls or one.tools or one.result != "open"]
        routes = await self._routes_of([one.receipt for one in lines if one.receipt])
        for one in lines:
            one.route = routes.get(one.receipt, "")
        return [
            one
            for one in lines
            if wanted.result in (None, one.result) and (not wanted.route or one.route == wanted.route)
        ]

    def _line(self, events: RunEvents, messages: Mapping[int, StoredMessage]) -> RunLine:
        end = next((one for one in reversed(events.events) if one.subject == RUN_ENDED), None)
        facts, data = _end_of(messages.get(end.sequence) if end is not None else None)
        last = end or events.events[-1]
        began = min(events.events[0].at, last.at - round(1000 * _seconds(data.duration_ms)))
        read = [messages[one] for one in _calls(events)[:MOST_CALLS] if one in messages]
        calls = [call for one in read if (call := call_of(one.body, one.time / 1e9, self._prices)) is not None]
        tools = [one for one in events.events if one.subject.startswith(_TOOL)]
        receipt = short_text(facts.causationid) or next((one.dispatch for one in calls if one.dispatch), "")
        return RunLine(
            run=events.run,
            agent=events.agent,
            session=events.session,
            began=format_time(began),
            ended=format_time(end.at) if end is not None else None,
            seconds=(last.at - began) / 1000,
            result="open" if end is None else "failed" if end.failed or data.success is False else "ok",
            error=short_text(data.error),
            route="",
            receipt=receipt,
            tools=len(tools),
            failed_tools=sum(one.failed for one in tools),
            subagents=sum(one.subject == _SPAWNED for one in events.events),
            calls=len(_calls(events)),
            models=list(dict.fromkeys(one.model for one in calls if one.model)),
            **_sums(calls),
            complete=events.complete and len(_calls(events)) <= MOST_CALLS,
        )


def _sums(calls: Sequence[ModelCall]) -> dict[str, Any]:
    names = ("input", "output", "cache_read", "cache_write")
    tokens = {name: sum(one.tokens[place] for one in calls) for place, name in enumerate(names)}
    return {**tokens, "cost": sum(one.cost for one in calls), "unpriced": sum(one.unpriced for one in calls)}


def _calls(events: RunEvents) -> list[int]:
    return [one.sequence for one in events.events if one.subject == LLM_OUTPUT]


def _worth_reading(events: RunEvents) -> list[int]:
    """The sequences of a run's ends, and of its models' answers."""
    return [*(one.sequence for one in events.events if one.subject == RUN_ENDED), *_calls(events)[:MOST_CALLS]]


def _end_of(message: StoredMessage | None) -> tuple[_Ended, _End]:
    try:
        facts = msgspec.json.decode(message.body, type=_Ended) if message is not None else _Ended()
        return facts, msgspec.json.decode(facts.data, type=_End)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _Ended(), _End()


def _seconds(milliseconds: object) -> float:
    """A duration as it was reported; 0 for what is none."""
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float) or not milliseconds > 0:
        return 0.0
    return min(milliseconds / 1000, _LONGEST_SECONDS)
