"""Replay: stored events go through a route once more, as new deliveries."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from msgspec import UNSET, Meta, Struct, UnsetType, field

from openclaw_nats.contract.fields import Answer, Time

ReplayWhich = Literal["failed", "skipped", "delivered", "all"]
REPLAY_WHICH: tuple[ReplayWhich, ...] = get_args(ReplayWhich)
ReplayState = Literal["running", "done", "stopped"]
MOST_EVENTS = 10_000
Moment = Annotated[str, Meta(description="a duration before now, such as 2h, or an RFC 3339 time", examples=["2h"])]


class ReplayRequest(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Which events: stored `from` then `to` then (now), at most `limit`, of these only those whose delivery `only`
    says. `rate` is how many go in in which time (20/1h). A dry run only says what would happen.
    """

    since: Moment = field(name="from")
    until: Moment | None = field(name="to", default=None)
    only: ReplayWhich = "failed"
    limit: Annotated[int, Meta(ge=1, le=MOST_EVENTS)] = 1000
    rate: Annotated[str, Meta(examples=["20/1h"])] | None = None
    also_webhooks: bool = False
    dry_run: bool = False


class ReplayPlan(Answer, kw_only=True):
    """What a replay would do now, in a sentence and in numbers. `events` were looked at; `deliveries` would be made,
    and `turns` of them. `gone` have left the stream, `underWay` are still in progress, of `unknown` ones the inbox has
    forgotten what became, `refused` ones end as they did before. Not `complete`: there are more than the limit, or
    looking took too long. Tokens and cost are null when no turn was measured.
    """

    summary: str
    route: str
    events: int
    deliveries: int
    turns: int
    tokens: float | None
    cost: float | None
    basis: str
    gone: int
    under_way: int
    unknown: int
    refused: int
    complete: bool


class Replay(Answer, kw_only=True):
    """A replay. `made` deliveries so far, of which so many were `delivered`, `wait`, or ended otherwise (`ended`)."""

    id: int
    route: str
    since: Time = field(name="from")
    until: Time = field(name="to")
    only: ReplayWhich
    limit: int
    state: ReplayState
    reason: str
    made: int
    delivered: int
    waiting: int
    ended: int
    gone: int
    made_by: str
    began_at: Time
    ended_at: Time | UnsetType = UNSET


class Replays(Answer):
    """All replays, newest first; of those that have ended the newest 200."""

    replays: list[Replay]
