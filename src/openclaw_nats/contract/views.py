"""What the dashboard shows beside lists: live events, activity, runs, tokens, subjects, logs, settings, sessions."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Raw, Struct, field

from openclaw_nats.contract.deliveries import DeliveryCounts, DeliveryRef, WokenBy
from openclaw_nats.contract.fields import Answer, JsonObject, Time, Window, WrittenValue
from openclaw_nats.contract.health import Health

_Document = Annotated[Raw, Meta(extra_json_schema={"type": "object", "additionalProperties": True})]


class LiveEvent(Answer):
    """One event as lists show it. A large one (`whole` is false) comes without its data: `/api/events/<sequence>` has
    it. `bytes` is the size of its message in the stream. `origin` is who said it, `tainted` as in Delivery.
    """

    sequence: int
    stored_at: Time
    bytes: int
    whole: bool
    origin: str
    tainted: bool
    event: _Document


class LiveState(Answer):
    """How everything is. `eventsPerSecond` is null as long as it is not known."""

    health: Health
    events_per_second: float | None


class LiveGroup(Answer):
    """New events, and how many were left out since the browser is too slow."""

    events: list[LiveEvent]
    skipped: int


class Recent(Answer):
    """The newest events after a sequence, and the state."""

    events: list[LiveEvent]
    state: LiveState


class Activity(Answer):
    """Events a second (null: not counted) in each step, and turns in the hour up to its end. `step` is in seconds."""

    window: Window
    step: int
    begin: Time
    events_per_second: list[float | None]
    turns_per_hour: list[int]


class Run(Answer):
    """The events of one agent run. `complete` is false when there was too much to read; `deliveries`: by event id.

    `woken_by` is empty for a run that no route has started, such as a chat.
    """

    events: list[LiveEvent]
    complete: bool
    deliveries: dict[str, list[DeliveryRef]]
    woken_by: list[WokenBy]


class UsageRow(Answer):
    """Tokens and cost of one agent with one model."""

    gateway: str
    agent: str
    provider: str
    model: str
    calls: int
    input: float
    output: float
    cache_read: float
    cache_write: float
    cost: float


class Usage(Answer):
    """Tokens by agent and model. `complete` is false when there were too many calls to count."""

    seconds: float
    calls: int
    complete: bool
    rows: list[UsageRow]


class SubjectRow(Answer):
    """What one subject brings."""

    subject: str
    stored: int
    last_hour: int
    newest: Time | None
    deliveries: DeliveryCounts


class Subjects(Answer):
    """All subjects. `complete` is false when the last hour was too much to count."""

    subjects: list[SubjectRow]
    complete: bool


class SidecarLine(Answer):
    """One line of the sidecar's log."""

    at: str
    level: str
    what: str
    details: JsonObject


class SidecarLog(Answer):
    """The sidecar's log, newest first."""

    lines: list[SidecarLine]


class SettingRow(Answer):
    """A setting: its value, where that came from, its environment variable, when a change applies."""

    name: str
    value: WrittenValue
    origin: str = field(name="from")
    variable: str
    applies: str
    help: str


class SettingsView(Answer):
    """Every setting, and what runs in which version."""

    settings: list[SettingRow]
    versions: dict[str, str]
    home: str


class SignInRequest(Struct, forbid_unknown_fields=True):
    """The code of a one-time link."""

    code: str


class Session(Answer):
    """A browser that is signed in to the dashboard. `current`: it is the one that asks."""

    id: str
    browser: str
    made_at: Time
    seen_at: Time
    ends_at: Time
    current: bool


class SignedIn(Session):
    """A browser that has just signed in. The page keeps `pageToken` for its own origin, and sends it as the header
    `X-OpenClaw-NATS-Page` with every request: the cookie alone, which browsers send to other ports, too, is no session.
    """

    page_token: str


class Sessions(Answer):
    """All browsers that are signed in."""

    sessions: list[Session]


class SignInLinks(Answer):
    """A one-time link for each address of the dashboard, the best one first, and for how long they are valid."""

    links: list[str]
    seconds: float
