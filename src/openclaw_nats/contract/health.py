"""The report of `/api/health`: what is really reachable, each part with its last error."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, UnsetType

from openclaw_nats.contract.deliveries import DeliveryCounts
from openclaw_nats.contract.fields import Answer, Time
from openclaw_nats.contract.pauses import Pause


class StreamSize(Answer, rename=None):
    """How much the event stream holds."""

    messages: int
    bytes: int
    first_seq: int
    last_seq: int


class NatsHealth(Answer):
    """Whether events can be stored in JetStream."""

    reachable: bool
    since: Time
    last_error: str
    version: str
    url: str
    stream: StreamSize | None
    atomic_batches: bool
    notes: list[str]


class Holder(Answer):
    """Who else delivers under the same `gateway.id`."""

    host: str
    folder: str


class IdentityHealth(Answer):
    """The lease: whether this sidecar is the one of its `gateway.id` that delivers."""

    gateway_id: str
    state: str
    epoch: int
    last_error: str
    holder: Holder | None


class DiskHealth(Answer):
    """A disk that the sidecar or nats-server writes to."""

    folder: str
    free_bytes: int
    low: bool
    last_error: str


class SidecarHealth(Answer):
    """The sidecar itself."""

    reachable: bool
    since: Time
    last_error: str
    version: str
    events_last_minute: int
    capture: str
    disks: list[DiskHealth]


class GatewayHealth(Answer):
    """The OpenClaw Gateway, by its `/healthz` or by its plugin's connection."""

    reachable: bool
    since: Time
    last_error: str
    version: str
    url: str


class SpoolHealth(Answer):
    """The plugin's events on disk that the sidecar has not acknowledged yet. Counts of losses are since its start."""

    events: int
    bytes: int
    oldest_seconds: float
    dropped: int
    rejected: int


class GuardHealth(Answer):
    """What the guard can do on this Gateway: whether it knows a turn by its `run`, or only by its `session`, in
    which any turn is judged alike while a guarded one lasts; and whether OpenClaw asks the operator itself.
    """

    turns_by: str
    asks: bool


class PluginHealth(Answer):
    """The plugin, by its own report. What follows `notes` is missing until it has reported once.

    `stopped_hooks` are kinds of events that used to come and no longer do; `problems` says of each since when.
    """

    reachable: bool
    since: Time
    last_error: str
    version: str
    problems: list[str]
    notes: list[str]
    gateway_version: str | UnsetType = UNSET
    conversation_access: bool | UnsetType | None = UNSET
    events: int | UnsetType = UNSET
    handler_errors: int | UnsetType = UNSET
    spool: SpoolHealth | UnsetType = UNSET
    guard: GuardHealth | UnsetType = UNSET
    stopped_hooks: list[str] | UnsetType = UNSET


class OpenBreaker(Answer):
    """A target that is only probed now, because it failed too often."""

    target: str
    last_error: str


class Unanswerable(Answer):
    """A route whose target nothing on this Gateway can answer."""

    route: str
    problem: str


class InboxHealth(Answer):
    """The inbox on disk, and its limit. `note` says that what waits will soon take all of it."""

    bytes: int
    max_bytes: int
    last_error: str
    note: str = ""


class Missed(Answer):
    """Events that left the stream before this sidecar had seen them: in all, and in the newest gap."""

    total: int
    last: int
    last_at: Time


class Budget(Answer):
    """Turns that were started in a window. `freeAt`: when one more fits, in seconds since the Unix epoch; 0 is now.

    `routeId` names the route that a limit for one route is about, `agents` the share of all routes that agents made.
    `reserved` is how many of a limit for all are kept for the operator's routes with priority 9 or 10; for all others
    it is spent, and `freeAt` set, when the rest is used.
    """

    name: str
    limit: int
    used: int
    free_at: float
    route_id: int | UnsetType = UNSET
    agents: bool | UnsetType = UNSET
    reserved: int | UnsetType = UNSET


WARNING_PART = 0.8  # of a budget in money: from there on it is told


class CostBudget(Answer):
    """What turns have cost in a window, in the money of the reports and prices. `freeAt` as for turns; `agents`: the
    share of all routes that agents made; `routeId` and `route`: the one route whose `flow.budget` this is, which is
    shown when it is nearly spent.
    """

    name: str
    limit: float
    used: float
    free_at: float
    agents: bool | UnsetType = UNSET
    route_id: int | UnsetType = UNSET
    route: str | UnsetType = UNSET


class LoopStop(Answer):
    """The newest event that woke nobody because it was too many dispatches deep. `at`: seconds since the Unix epoch."""

    route: str
    subject: str
    hops: int
    at: float


class LoopGuardHealth(Answer):
    """The loop guard since the sidecar's start."""

    max_hops: int
    stopped: int
    last: LoopStop | None


class ChannelHealth(Answer):
    """The plugin's connection for turns, and what it can do over it."""

    connected: bool
    can_run: bool
    can_wake: bool
    wrapping: str


class DeliveryHealth(Answer):
    """Whether events reach their targets. What follows `lastError` is missing while the inbox can't be read.

    `approvals` counts the guarded calls that wait for an answer.
    """

    reachable: bool
    last_error: str
    since: Time
    needs_gateway: bool | UnsetType = UNSET
    way: str | UnsetType = UNSET
    routes: int | UnsetType = UNSET
    unanswerable: list[Unanswerable] | UnsetType = UNSET
    instruction_notes: list[Unanswerable] | UnsetType = UNSET
    counts: DeliveryCounts | UnsetType = UNSET
    waiting: int | UnsetType = UNSET
    sending: int | UnsetType = UNSET
    open_breakers: list[OpenBreaker] | UnsetType = UNSET
    missed: Missed | UnsetType | None = UNSET
    inbox: InboxHealth | UnsetType = UNSET
    notes: list[str] | UnsetType = UNSET
    budgets: list[Budget] | UnsetType = UNSET
    cost_budgets: list[CostBudget] | UnsetType = UNSET
    loop_guard: LoopGuardHealth | UnsetType = UNSET
    pauses: list[Pause] | UnsetType = UNSET
    approvals: int | UnsetType = UNSET
    plugin: ChannelHealth | UnsetType = UNSET


class LostJobs(Answer):
    """Cron jobs that left the stream without anybody having removed them here, and when that was noticed last."""

    names: list[str]
    last_at: Time


class SchedulesHealth(Answer):
    """Cron jobs and timers. A count is null when it is not known now."""

    available: bool
    last_error: str
    jobs: int | None
    timers: int | None
    lag: int | UnsetType = UNSET
    lost: LostJobs | UnsetType = UNSET


class HomeAssistantHealth(Answer):
    """What Home Assistant is shown by MQTT; `connected` says whether it is now."""

    connected: bool
    entities: int
    last_error: str


class MqttHealth(Answer):
    """Whether the nats-server that we run speaks MQTT. `storedAgain` counts what a kill of it would have lost, since
    the sidecar's start. `homeAssistant` is there with `mqtt.home_assistant`.
    """

    listening: bool
    address: str
    last_error: str
    stored_again: int
    home_assistant: HomeAssistantHealth | UnsetType = UNSET


class ExpectationsHealth(Answer):
    """The rules about silence: how many there are, the names of those that are missed now (100 at most), and how many
    wait to know what a Gateway has not sent yet. `lastError` says why they are not judged.
    """

    rules: int
    missed: list[str]
    unknown: int
    last_error: str


class Health(Answer):
    """`status` is up when events can be stored. The parts are for whoever has the API key. `quarantined` counts the
    requests that wait in quarantine; it is missing where no source puts any there, or NATS can't be asked.
    """

    status: Literal["up", "down"]
    nats: NatsHealth | UnsetType = UNSET
    identity: IdentityHealth | UnsetType = UNSET
    sidecar: SidecarHealth | UnsetType = UNSET
    gateway: GatewayHealth | UnsetType = UNSET
    plugin: PluginHealth | UnsetType = UNSET
    delivery: DeliveryHealth | UnsetType = UNSET
    schedules: SchedulesHealth | UnsetType = UNSET
    quarantined: int | UnsetType = UNSET
    mqtt: MqttHealth | UnsetType = UNSET
    expectations: ExpectationsHealth | UnsetType = UNSET
