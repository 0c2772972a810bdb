"""A route: which events go to which target, on which condition, in which form, how fast."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from openclaw_nats.contract.deliveries import DeliveryCounts
from openclaw_nats.contract.fields import (
    Answer,
    Duration,
    Instruction,
    Json,
    JsonObject,
    Name,
    Pattern,
    Priority,
    TargetKind,
    Time,
    Unreadable,
)
from openclaw_nats.contract.pauses import Pause
from openclaw_nats.contract.problems import Trouble
from openclaw_nats.contract.spending import PerDay

MAX_TEMPLATE = 20_000
DEFAULT_BACKOFF = ("5s", "30s", "2m", "10m", "1h", "3h")
Confirmation = Literal["accepted", "ended", "ok"]
Condition = Annotated[str, Meta(description="A CEL expression", examples=["data.state == 'open'"])]
Guard = Literal["ask", "block", "off"]
Rule = Annotated[str, Meta(max_length=500)]
Tools = (
    Annotated[str, Meta(description="A preset: read, all or none")]
    | Annotated[list[Rule], Meta(max_length=100, description="Names, patterns, commands: read, nats_*, exec(df *)")]
)
Clock = Annotated[str, Meta(examples=["22:00"])]


class _Part(Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """A part of a route."""


class SessionTarget(_Part, tag_field="kind", tag="session"):
    """A session of an agent: `main`, a name, or a whole session key."""

    session_key: str
    agent_id: str | None = None


class AgentTarget(_Part, tag_field="kind", tag="agent"):
    """An agent, in a turn of its own: a new session for each."""

    agent_id: str


class WakeTarget(_Part, tag_field="kind", tag="wake"):
    """A note in an agent's main session, and a wake-up."""

    agent_id: str | None = None


class WebhookTarget(_Part, tag_field="kind", tag="webhook"):
    """An HTTP address. With `secret` requests are signed as Standard Webhooks says."""

    url: str
    secret: str | None = None


class SubjectTarget(_Part, tag_field="kind", tag="subject"):
    """Another NATS subject."""

    subject: str


Target = SessionTarget | AgentTarget | WakeTarget | WebhookTarget | SubjectTarget
Session = Annotated[str, Meta(description="The session of a session target", examples=["main"])]


class Batch(_Part):
    """Up to `size` events go out together; the first waits at most `wait`."""

    size: Annotated[int, Meta(ge=1, le=1000)] | None = None
    wait: Duration | None = None


class Rate(_Part):
    """At most `count` dispatches in any `per`."""

    count: Annotated[int, Meta(ge=1, le=100_000)]
    per: Duration


class QuietHours(_Part):
    """No turn begins from `from` to `to`. `timezone` is by default UTC."""

    begin: Clock = field(name="from")
    to: Clock
    timezone: str | None = None


class CostLimit(_Part):
    """What a route's turns may cost in any time of a length, in the money of `budget.prices`; what is over it waits."""

    cost: Annotated[float, Meta(gt=0, le=1_000_000)]
    per: Duration


class Flow(_Part):
    """How fast events go out. `key` is a CEL expression: events with different values wait in lines of their own."""

    debounce: Duration | None = None
    max_wait: Duration | None = None
    batch: Batch | None = None
    rate: Rate | None = None
    concurrency: Annotated[int, Meta(ge=1, le=1000)] | None = None
    key: str | None = None
    quiet_hours: QuietHours | None = None
    budget: CostLimit | None = None


class Retry(_Part):
    """The waits between attempts, and how many attempts there are."""

    backoff: Annotated[list[Duration], Meta(max_length=100)] | None = None
    attempts: Annotated[int, Meta(ge=1, le=101)] | None = None


class RouteDocument(Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """A route as it is given; what is left out has its default.

    `tools` are what its turns may use when something from outside has led to them (by default `read`), `guard` is what
    becomes of the rest (by default `ask`). `filter` is the upstream form of a condition, `payload` is merged into each
    event's data, and `until` is when the route is removed.
    """

    name: Name
    pattern: Pattern
    target: Target | Session
    instruction: Instruction = ""
    when: Condition | None = None
    filter: Json = None
    template: Annotated[str, Meta(max_length=MAX_TEMPLATE, description="A Jinja2 template")] | None = None
    payload: JsonObject | None = None
    priority: Priority | None = None
    enabled: bool = True
    flow: Flow | None = None
    retry: Retry | None = None
    confirm: Confirmation = "ok"
    trusted: bool = False
    tools: Tools | None = None
    guard: Guard | None = None
    expires_after: Duration | None = None
    until: Annotated[str, Meta(extra_json_schema={"format": "date-time"})] | None = None


class RouteCounts(DeliveryCounts):
    """What became of a route's events. `absorbed`: how many went out together with another one."""

    matched: int
    absorbed: int
    turns: int
    turns_avoided: int


class ResolvedTarget(Answer, omit_defaults=True):
    """Where a route's events really go, secrets masked."""

    kind: TargetKind
    agent_id: str = ""
    session_key: str = ""
    url: str = ""
    secret: str = ""
    subject: str = ""


class Route(Answer, kw_only=True):
    """A route as it is shown: secrets masked, conditions as CEL, what became of its events. `madeBy` is empty for the
    operator's own; `targetNote` says that nothing can answer its target, or that this could not be checked;
    `trialNote`, only in the answer to saving it, on which events of the stream its conditions fail; `instructionNote`
    that its template or payload holds words which look like an instruction.
    """

    name: str
    pattern: str
    target: Target | str
    instruction: str | UnsetType = UNSET
    when: str | UnsetType = UNSET
    filter: Json | UnsetType = UNSET
    template: str | UnsetType = UNSET
    payload: JsonObject | UnsetType = UNSET
    priority: int | UnsetType = UNSET
    flow: Flow | UnsetType = UNSET
    retry: Retry | UnsetType = UNSET
    confirm: Confirmation | UnsetType = UNSET
    expires_after: str | UnsetType = UNSET
    until: str | UnsetType = UNSET
    enabled: bool
    trusted: bool
    tools: Tools
    guard: Guard
    conditions: list[str]
    resolved_target: ResolvedTarget
    target_note: str | UnsetType = UNSET
    trial_note: str | UnsetType = UNSET
    instruction_note: str | UnsetType = UNSET
    made_by: str
    created_at: Time
    updated_at: Time
    waiting_since: Time | None
    paused: Pause | UnsetType = UNSET
    counts: RouteCounts


class Routes(Answer):
    """All routes."""

    routes: list[Route]
    unreadable: list[Unreadable] | UnsetType = UNSET


class RouteCheck(Answer):
    """What is wrong with a route that is not saved; nothing when it could be."""

    problems: list[Trouble]


class RouteTest(Struct, rename="camel", forbid_unknown_fields=True):
    """What a route is tried on: an `event`, or what was stored `since` a time ago. `route` is one that is not saved."""

    event: JsonObject | None = None
    since: Duration | None = None
    route: Json = None


class PlannedTurn(Answer):
    """What would go out, when, and with which events."""

    at: Time
    events: list[str]
    text: str


class Judged(Answer):
    """Whether a route takes an event, and if not, why."""

    id: str
    subject: str
    matched: bool
    reason: str


class DryRun(Answer):
    """What a route would have done, as a sentence in `summary`. `avoided`: how many turns its flow control saves;
    `per_day`, of a trial on a time, what it would use in a day.
    """

    route: str
    target: ResolvedTarget
    events: int
    matched: int
    turns: int
    avoided: int
    first_turns: list[PlannedTurn]
    judged: list[Judged]
    assumes: str
    summary: str = ""
    per_day: PerDay | UnsetType = UNSET
