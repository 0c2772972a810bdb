"""Agent runs: who did what, why, and at what cost."""

from __future__ import annotations

from typing import Literal, get_args

from openclaw_nats.contract.fields import Answer, Time
from openclaw_nats.contract.history import IndexReport

RunResult = Literal["ok", "failed", "open"]
RUN_RESULTS: tuple[RunResult, ...] = get_args(RunResult)


class RunLine(Answer):
    """One agent run, from what its Gateway reported.

    `result` is `open` as long as no end of it was reported: it runs, or was cut off. `seconds` goes to its last event
    then, and `ended` is null.

    `route` and `receipt` say what woke it; empty for chats, heartbeats and the like. `unpriced` calls reported no cost,
    and their model has no price in `budget.prices`. `complete` is false when it did more than was counted.
    """

    run: str
    agent: str
    session: str
    began: Time
    ended: Time | None
    seconds: float
    result: RunResult
    error: str
    route: str
    receipt: str
    tools: int
    failed_tools: int
    subagents: int
    calls: int
    models: list[str]
    input: float
    output: float
    cache_read: float
    cache_write: float
    cost: float
    unpriced: int
    complete: bool


class RunPage(Answer):
    """Runs by their end, the newest first. The first page begins with those without an end, at most 200, from among the
    newest 50,000 events.

    `cursor` leads to the next ones, null when everything was looked at; `lookedBackTo` is how far it was looked so far.
    """

    runs: list[RunLine]
    cursor: str | None
    looked_back_to: Time | None
    index: IndexReport
