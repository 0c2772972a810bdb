"""What turns cost: from the plugin's `llm.output` events of turns that a dispatch has led to, each counted once.

The numbers are foreign: what is no number above 0 counts as not reported, and one report costs at most MOST.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from openclaw_nats.inbound.budgets import Budgets
from openclaw_nats.inbound.flow_policy import COSTS_KEPT
from openclaw_nats.storage import costs as rows
from openclaw_nats.storage.costs import Reported, Spent
from openclaw_nats.storage.database import Database

MOST = 10_000.0
_MILLION = 1e6
_LARGEST = 1e15  # a whole number of JSON may be too large for a float
_MOST_MODELS = 50
_KINDS = {"input": "input", "output": "output", "cacheRead": "cache_read", "cacheWrite": "cache_write"}


class Output(msgspec.Struct):
    """The fields of `llm.output` that count. They are foreign: of any type."""

    model: object = None
    usage: object = None
    cost: object = None


_decoder = msgspec.json.Decoder(Output)


def output_of(data: bytes) -> Output:
    """What is reported of a model's output; nothing where it can't be read."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Output()


def cost_of(found: Output, prices: Mapping[str, Mapping[str, float]]) -> float:
    """What a model's output has cost: as reported, else by the tokens and the price of its model; 0 when not known."""
    if (reported := number_of(found.cost)) > 0:
        return min(reported, MOST)
    price = prices.get(found.model) if isinstance(found.model, str) else None
    if price is None or not isinstance(found.usage, dict):
        return 0.0
    cost = sum(number_of(found.usage.get(kind)) * price.get(name, 0.0) for kind, name in _KINDS.items()) / _MILLION
    return min(cost, MOST)


def unpriced(found: Output, prices: Mapping[str, Mapping[str, float]]) -> str:
    """The model of an output that has used tokens and of whose cost nothing is known; else empty."""
    used = found.usage if isinstance(found.usage, dict) else {}
    if not isinstance(found.model, str) or found.model in prices or number_of(found.cost):
        return ""
    return found.model[:80] if any(number_of(used.get(kind)) for kind in _KINDS) else ""


def number_of(value: object) -> float:
    """A number as it was reported; 0 for what is none above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        return 0.0
    return float(min(value, _LARGEST))


class Costs:
    """Writes costs down and tells the budgets. `changed` is called when there is less left."""

    def __init__(
        self,
        database: Database,
        budgets: Budgets,
        prices: Mapping[str, Mapping[str, float]],
        changed: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._budgets = budgets
        self._prices = prices
        self._changed = changed
        self._clock = clock
        self._unpriced: dict[str, None] = {}  # models, since the start
        now = clock()
        for one in database.now(lambda db: rows.since(db, now - COSTS_KEPT)):
            budgets.pay(one)
        budgets.history = self._of_route

    @property
    def note(self) -> str:
        """That the turns of some models cost nothing as far as is known; empty without a budget of money."""
        if not self._unpriced or not self._budgets.cost_report(self._clock()):
            return ""
        names = sorted(self._unpriced)
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return (
            f"turns with {', '.join(names[:3])}{more} count nothing in the budgets of money: neither the Gateway nor "
            "`budget.prices` says what they cost (0 is a price, too)"
        )

    def _of_route(self, route_id: int, seconds: float) -> list[Spent]:
        since = self._clock() - seconds
        return self._database.read_now(lambda db: rows.of_route(db, route_id, since))

    async def take(self, reports: Sequence[tuple[str, str, bytes]]) -> None:
        """Count (message id, dispatch, data) of outputs; raise Unavailable when that can't be written down now."""
        outputs = [(event, dispatch, output_of(data)) for event, dispatch, data in reports]
        for _, _, found in outputs:
            if (model := unpriced(found, self._prices)) and len(self._unpriced) < _MOST_MODELS:
                self._unpriced.setdefault(model)
        priced = [Reported(event, dispatch, cost_of(found, self._prices)) for event, dispatch, found in outputs]
        costly = [one for one in priced if one.cost]
        if not costly:
            return
        now = self._clock()
        spent = await self._database.write(lambda db: rows.add(db, costly, now))
        for one in spent:
            self._budgets.pay(one)
        if spent:
            self._changed()
