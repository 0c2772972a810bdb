"""What one `llm.output` event says: who asked which model, with how many tokens and for how much money."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.inbound.costs import cost_of, number_of, output_of, unpriced

_KINDS = ("input", "output", "cacheRead", "cacheWrite")


class _Facts(msgspec.Struct):
    agentid: Any = ""
    runid: Any = ""
    causationid: Any = ""
    data: msgspec.Raw = msgspec.Raw(b"null")


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call. `day` is in UTC, `tokens` are input, output, read from cache and written to it.

    `dispatch` is what the run goes back to; `unpriced`: it used tokens, and nobody knows what they cost.
    """

    day: str
    agent: str
    model: str
    run: str
    dispatch: str
    tokens: tuple[float, float, float, float]
    cost: float
    unpriced: bool


def call_of(body: bytes, at: float, prices: Mapping[str, Mapping[str, float]]) -> ModelCall | None:
    """The call of an event that was stored at `at`, seconds since the Unix epoch; None where it can't be read."""
    try:
        facts = msgspec.json.decode(body, type=_Facts)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    output = output_of(bytes(facts.data))
    used = output.usage if isinstance(output.usage, dict) else {}
    tokens = [number_of(used.get(kind)) for kind in _KINDS]
    return ModelCall(
        day=format_seconds(at)[:10],
        agent=short_text(facts.agentid),
        model=short_text(output.model),
        run=short_text(facts.runid),
        dispatch=short_text(facts.causationid),
        tokens=(tokens[0], tokens[1], tokens[2], tokens[3]),
        cost=cost_of(output, prices),
        unpriced=bool(unpriced(output, prices)),
    )


def short_text(value: object) -> str:
    """The first 200 characters of a text; empty for what is none."""
    return value[:200] if isinstance(value, str) else ""
