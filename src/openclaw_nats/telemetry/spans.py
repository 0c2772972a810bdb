"""An agent run's events as spans, named by OpenTelemetry's semantic conventions for generative AI (GenAI).

A run is `invoke_agent`, a model's call `chat`, a tool's `execute_tool`; each is made of the one event that reports its
end and how long it took. Ids follow from the ids of run and event, so that the same event makes the same span again.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from openclaw_nats.events import trace
from openclaw_nats.events.envelope import parse_time

_GATEWAYS_OWN = re.compile(r"(?:^|,) *openclaw=([0-9a-f]{32})-([0-9a-f]{16})")
_REMEMBERED_RUNS = 1000
_TOKENS = {
    "input": "gen_ai.usage.input_tokens",
    "output": "gen_ai.usage.output_tokens",
    "cacheRead": "gen_ai.usage.cache_read.input_tokens",
    "cacheWrite": "gen_ai.usage.cache_creation.input_tokens",
}


@dataclass(frozen=True)
class Span:
    """One span. Times are nanoseconds since the Unix epoch; ids are numbers, `parent` is 0 for a root.

    `links` are (trace, span) of others that it has to do with.
    """

    name: str
    trace: int
    id: int
    parent: int
    begin: int
    end: int
    client: bool = False
    error: str = ""
    attributes: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    links: tuple[tuple[int, int], ...] = ()


class SpanMaker:
    """Turns events into spans; remembers the tokens of a run until its end is reported."""

    def __init__(self) -> None:
        self._tokens: OrderedDict[str, dict[str, int]] = OrderedDict()

    def span_of(self, event: Mapping[str, Any], woken_by: Sequence[str] = ()) -> Span | None:
        """The span that an event (a decoded CloudEvent) reports the end of; None for all others.

        `woken_by` are the traceparents of the events that woke the run, the first one being its parent.
        """
        run, data = _text(event.get("runid")), event.get("data")
        subject = _text(event.get("subject")).removeprefix("agent.events.")
        if not run or not isinstance(data, dict):
            return None
        if subject == "llm.output":
            self._note_tokens(run, data.get("usage"))
            return None
        if subject == "agent.run_ended":
            return self._run(event, run, data, woken_by)
        if subject.startswith("model.call."):
            return _call(event, run, data)
        if subject.startswith("tool."):
            return _tool(event, run, data)
        return None

    def _note_tokens(self, run: str, usage: Any) -> None:
        known = self._tokens.setdefault(run, {})
        for name, attribute in _TOKENS.items():
            value = usage.get(name) if isinstance(usage, dict) else None
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                known[attribute] = known.get(attribute, 0) + value
        while len(self._tokens) > _REMEMBERED_RUNS:
            self._tokens.popitem(last=False)

    def _run(self, event: Mapping[str, Any], run: str, data: Mapping[str, Any], woken_by: Sequence[str]) -> Span:
        agent = _text(event.get("agentid")) or "main"
        attributes = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.id": agent,
            "gen_ai.agent.name": agent,
            "openclaw.run.id": run,
            "openclaw.trigger": _text(data.get("trigger")),
            "openclaw_nats.delivery": _text(event.get("causationid")),
            **self._tokens.pop(run, {}),
        }
        span = _span(event, run, data, f"invoke_agent {agent}", attributes, span_id=trace.run_span(run))
        wakers = [found for one in woken_by if (found := trace.parse(one))]
        parent = wakers[0][1] if wakers and wakers[0][0] == span.trace else 0
        own = _GATEWAYS_OWN.search(_text(event.get("tracestate")))
        links = (*wakers[1 if parent else 0 :], *([(int(own[1], 16), int(own[2], 16))] if own else ()))
        return replace(span, parent=parent, links=links)


def _call(event: Mapping[str, Any], run: str, data: Mapping[str, Any]) -> Span:
    model = _text(data.get("model"))
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _text(data.get("provider")),
        "gen_ai.request.model": model,
    }
    return _span(event, run, data, f"chat {model}".strip(), attributes, client=True)


def _tool(event: Mapping[str, Any], run: str, data: Mapping[str, Any]) -> Span:
    tool = _text(data.get("tool"))
    attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": tool,
        "gen_ai.tool.call.id": _text(data.get("toolCallId")),
    }
    return _span(event, run, data, f"execute_tool {tool}".strip(), attributes)


def _span(
    event: Mapping[str, Any],
    run: str,
    data: Mapping[str, Any],
    name: str,
    attributes: Mapping[str, Any],
    *,
    span_id: int = 0,
    client: bool = False,
) -> Span:
    end = int(parse_time(_text(event.get("time"))).timestamp() * 1e9)
    lasted = data.get("durationMs")
    lasted = lasted if isinstance(lasted, int | float) and lasted >= 0 else 0
    common = {
        "gen_ai.conversation.id": _text(event.get("sessionkey")),
        "openclaw.gateway.id": _text(event.get("gatewayid")),
    }
    failed = data.get("success") is False
    return Span(
        name=name[:200],
        trace=_trace(event, run),
        id=span_id or trace.number("event", _text(event.get("id")), 8),
        parent=0 if span_id else trace.run_span(run),
        begin=end - int(lasted * 1e6),
        end=end,
        client=client,
        error=(_text(data.get("error")) or "error") if failed else "",
        attributes={key: value for key, value in {**common, **attributes}.items() if value != ""},
    )


def _trace(event: Mapping[str, Any], run: str) -> int:
    """The publisher's trace, or the Gateway's, else one of the run's own.

    The span in `traceparent` is no parent here: it is the run's own, or one of the Gateway's that nobody may have
    exported.
    """
    found = trace.parse(event.get("traceparent"))
    return found[0] if found else trace.number("trace", run, 16)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
