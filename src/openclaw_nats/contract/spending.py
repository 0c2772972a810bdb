"""What turns cost: money and tokens by agent, route, model or day, and what one turn costs on the average."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from msgspec import Meta

from openclaw_nats.contract.fields import Answer

SpendingBy = Literal["agent", "route", "model", "day"]
SPENDING_BY: tuple[SpendingBy, ...] = get_args(SpendingBy)


class SpendingLine(Answer):
    """What one agent, route, model or day (UTC) has used. `name` is empty for turns that no route has led to.

    `unpriced` calls reported no cost, and their model has no price in `budget.prices`. `avoided` turns were saved
    because events went out together; at the mean cost of a turn of theirs they would have cost `avoided_cost`.
    """

    name: str
    turns: int
    calls: int
    input: float
    output: float
    cache_read: float
    cache_write: float
    cost: float
    unpriced: int
    avoided: int = 0
    avoided_cost: float = 0.0


class Spending(Answer):
    """Money and tokens by one of these. `complete` is false when there were more calls than are counted."""

    by: SpendingBy
    seconds: float
    lines: list[SpendingLine]
    total: SpendingLine
    complete: bool


class PerDay(Answer):
    """What a route would use in a day: its turns of a dry run, at the mean of turns that were measured.

    `basis` says whose turns those were; without any, tokens and cost are null.
    """

    turns: float
    tokens: float | None
    cost: float | None
    basis: Annotated[str, Meta(examples=["the route's own 38 turns of the last 7 days"])]
