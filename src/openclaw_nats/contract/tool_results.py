"""What the agents' tools give back, by tool. What others wrote is beside it (`ToolAnswer.outside`), never in it."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from openclaw_nats.contract.fields import Answer, Instruction, Json, JsonObject, Time
from openclaw_nats.contract.routes import Flow
from openclaw_nats.contract.schedules import Wake

MadeBy = str  # "operator", or the agent and session


class ToolResult(Answer):
    """What a tool gives back: the part that is ours."""


class PublishedByTool(ToolResult):
    """`nats_publish`: the event as it is stored, or was before."""

    id: str
    subject: str
    duplicate: bool


class ServiceReply(ToolResult):
    """`nats_request`: how long the reply is, in bytes, and whether what is shown of it is only its beginning."""

    subject: str
    bytes: int
    cut: bool


class EventsSeen(ToolResult):
    """`nats_events`: how many are shown, how many more there were no room for, and at how many it looked."""

    count: int
    left_out: int
    looked: int
    note: str | UnsetType = UNSET


class SubscriptionView(ToolResult):
    """A route, as an agent sees it. `yours`: whether it may change it. `created`: whether it is new."""

    id: str
    name: str
    pattern: str
    target: str
    enabled: bool
    yours: bool
    made_by: MadeBy
    created: bool | UnsetType = UNSET
    instruction: Instruction | UnsetType = UNSET
    when: str | UnsetType = UNSET
    filter: Json | UnsetType = UNSET
    payload: JsonObject | UnsetType = UNSET
    priority: int | UnsetType = UNSET
    flow: Flow | UnsetType = UNSET
    until: Time | UnsetType = UNSET
    warning: str | UnsetType = UNSET


class SubscriptionRemoved(ToolResult):
    """`nats_unsubscribe`: the subscription that is gone."""

    removed: str
    name: str


class Subscriptions(ToolResult):
    """`nats_subscriptions`: what wakes this agent, and how many it may make."""

    subscriptions: list[SubscriptionView]
    limit: int


class JobView(ToolResult):
    """A cron job, as an agent sees it: what the operator's publish is not shown."""

    name: str
    cron: str
    timezone: str
    enabled: bool
    next_runs: list[Time]
    subject: str
    yours: bool
    made_by: MadeBy
    created: bool | UnsetType = UNSET
    payload: Json | UnsetType = UNSET
    missed: str | UnsetType = UNSET
    wake: Wake | UnsetType = UNSET
    instruction: Instruction | UnsetType = UNSET


class JobRemoved(ToolResult):
    """`nats_cron_remove`: the job that is gone."""

    removed: str


class JobViews(ToolResult):
    """`nats_cron_list`: its own jobs and the operator's."""

    jobs: list[JobView]


class JobFired(ToolResult):
    """`nats_cron_run`: the job, and its event's id."""

    fired: str
    id: str


class TimerView(ToolResult):
    """A timer, as an agent sees it: what the operator's publish is not shown."""

    name: str
    at: Time
    subject: str
    yours: bool
    made_by: MadeBy
    created: bool | UnsetType = UNSET
    payload: Json | UnsetType = UNSET
    wake: Wake | UnsetType = UNSET
    instruction: Instruction | UnsetType = UNSET


class TimerCancelled(ToolResult):
    """`nats_timer_cancel`: the timer that is gone."""

    cancelled: str


class TimerViews(ToolResult):
    """`nats_timer_list`: its own timers and the operator's."""

    timers: list[TimerView]


RESULTS: dict[str, type[ToolResult]] = {
    "nats_publish": PublishedByTool,
    "nats_events": EventsSeen,
    "nats_request": ServiceReply,
    "nats_subscribe": SubscriptionView,
    "nats_unsubscribe": SubscriptionRemoved,
    "nats_subscriptions": Subscriptions,
    "nats_route_update": SubscriptionView,
    "nats_cron_add": JobView,
    "nats_cron_update": JobView,
    "nats_cron_remove": JobRemoved,
    "nats_cron_list": JobViews,
    "nats_cron_toggle": JobView,
    "nats_cron_run": JobFired,
    "nats_timer_set": TimerView,
    "nats_timer_cancel": TimerCancelled,
    "nats_timer_list": TimerViews,
}
