"""Deliveries (one event for one route), dispatches' receipts, and what the operator does with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from openclaw_nats.contract.fields import Answer, DeliveryState, Json, Time


class DeliveryCounts(Answer):
    """Deliveries by state."""

    pending: int
    sending: int
    failed: int
    delivered: int
    dead: int
    dropped: int
    expired: int

    @classmethod
    def of(cls, states: Mapping[str, int]) -> DeliveryCounts:
        """The counts of a mapping in which states without any may be missing."""
        return cls(**{name: states.get(name, 0) for name in cls.__struct_fields__})


class Delivery(Answer):
    """One event for one route. `dispatch` is the id of what it went out in, together with others or alone.

    `until` is when a delivery that waits goes on, as far as that is known. `event` is the id its publisher gave.
    `origin` is who said it: gateway, operator, agent:<id>, source:<name>, key:<name> or outside; `tainted`: somebody
    outside may have had a hand in it.
    """

    id: int
    event: str
    route: str
    subject: str
    session: str
    state: DeliveryState
    reason: str
    until: Time | None
    priority: int
    hops: int
    origin: str
    tainted: bool
    stored_at: Time | None
    arrived_at: Time | None
    changed_at: Time | None
    dispatch: str | None


class Change(Answer):
    """What became of a delivery, and when."""

    at: Time | None
    state: DeliveryState
    reason: str


class DeliveryDetail(Delivery):
    """A delivery with its event (null when nothing keeps it any more), its history, and what its dispatch sent."""

    document: Json
    history: list[Change]
    text: str | None
    attempts: int


class Deliveries(Answer):
    """A page of deliveries, newest first; `cursor` asks for the next page. `total` counts those on all pages."""

    deliveries: list[Delivery]
    cursor: str | None
    total: int


class Receipt(Answer):
    """What became of a dispatch. `events` is how many deliveries it carried."""

    id: str
    route: str
    state: str
    outcome: str
    way: str
    run_id: str
    reply: str
    events: int
    attempts: int
    runs: int
    hops: int
    created_at: Time | None
    ended_at: Time | None


class Carried(Answer):
    """A delivery that a dispatch carried."""

    delivery: int
    event: str
    subject: str


class ReceiptDetail(Receipt):
    """A receipt with the text that was sent, what it carried and its history."""

    text: str
    deliveries: list[Carried]
    history: list[Change]


class Receipts(Answer):
    """A page of receipts, newest first; `cursor` asks for the next page."""

    receipts: list[Receipt]
    cursor: str | None


class DeliveryRef(Answer):
    """A delivery, as other lists name it."""

    id: int
    route: str
    state: DeliveryState


class WokenBy(Answer):
    """An event that a run was woken by, and the delivery that did it. `sequence` is the event's in the stream."""

    delivery: int
    route: str
    state: DeliveryState
    event_id: str
    subject: str
    sequence: int


class Retried(Answer):
    """How many deliveries are tried again now."""

    retried: int


class Dropped(Answer):
    """How many deliveries were dropped."""

    dropped: int


class Redriven(Answer):
    """How many dead letters wait again."""

    redriven: int


class BulkFilters(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which dead letters; all of them without any filter. `since` and `until` are durations before now, or times."""

    route: str | None = None
    subject: str | None = None
    session: str | None = None
    search: str | None = None
    since: str | None = None
    until: str | None = None


class LogLine(Answer):
    """One change of a delivery, in the log over all of them."""

    number: int
    at: Time
    state: DeliveryState
    reason: str
    delivery: int
    route: str
    subject: str
    event: str
    dispatch: str | None


class DeliveryLog(Answer):
    """A page of changes, newest first; `cursor` asks for the next page."""

    lines: list[LogLine]
    cursor: str | None


class FireLine(Answer):
    """A cron job or timer that fired or was skipped. `event` is the id of the event that it made."""

    kind: Literal["cron", "timer"]
    name: str
    outcome: str
    manual: bool
    at: Time
    subject: str
    event: str | None


class FireLog(Answer):
    """What fired, newest first."""

    lines: list[FireLine]
