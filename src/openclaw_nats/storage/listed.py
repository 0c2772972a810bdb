"""What the lists show of the inbox, as values. Times are seconds since the Unix epoch."""

from __future__ import annotations

from dataclasses import dataclass, field

from openclaw_nats.contract.fields import DeliveryState


@dataclass(slots=True)
class Filters:
    """Which deliveries: in one of `states`, and as the other fields say as far as they are given."""

    states: tuple[str, ...] = ()
    route: str | None = None
    subject: str | None = None
    session: str | None = None
    event: str | None = None
    search: str | None = None
    since: float | None = None
    until: float | None = None


@dataclass(slots=True)
class ListedDelivery:
    """A delivery. `until` is when it is tried again."""

    id: int
    event_id: str
    route_id: int
    route: str
    subject: str
    session: str
    flow_key: str
    state: DeliveryState
    reason: str
    priority: int
    hops: int
    stored_at: float | None
    arrived_at: float
    changed_at: float
    dispatch_id: str | None
    origin: str
    tainted: bool
    until: float | None
    replay: int


@dataclass(slots=True)
class Change:
    """What became of a delivery, and when."""

    at: float
    state: DeliveryState
    reason: str


@dataclass(slots=True)
class ListedChange:
    """One change of a delivery, in the log over all of them."""

    number: int
    at: float
    state: DeliveryState
    reason: str
    delivery: int
    route: str
    subject: str
    event: str
    dispatch: str | None


@dataclass(slots=True)
class Carried:
    """A delivery that a dispatch carried; `place` and `sequence` say where its event is in the stream."""

    id: int
    event_id: str
    subject: str
    place: str
    sequence: int


@dataclass(slots=True)
class ListedDispatch:
    """A dispatch, as it was sent."""

    id: str
    route: str
    body: str
    events: int
    hops: int
    state: str
    attempts: int
    runs: int
    way: str
    run_id: str
    outcome: str
    reply: str
    created_at: float
    changed_at: float
    deliveries: list[Carried] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)


@dataclass(slots=True)
class DeliveryDetail(ListedDelivery):
    """A delivery with its event, its history and its dispatch; `document` is None when the inbox keeps it no longer."""

    place: str = ""
    sequence: int = 0
    document: bytes | None = None
    changes: list[Change] = field(default_factory=list)
    dispatch: ListedDispatch | None = None


@dataclass(slots=True)
class DeadLetter:
    """A dead letter that is not in the dead-letter stream yet. `hops` and `event_id` are its event's."""

    id: int
    place: str
    route: str
    route_id: int
    subject: str
    reason: str
    changed_at: float
    event_id: str
    sequence: int
    hops: int
    document: bytes | None


@dataclass(slots=True)
class RouteFigures:
    """A route's deliveries by state, dispatches, runs, and when the oldest that is under way came."""

    states: dict[str, int] = field(default_factory=dict)
    dispatches: int = 0
    runs: int = 0
    oldest: float | None = None
