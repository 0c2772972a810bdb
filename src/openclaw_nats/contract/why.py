"""Why a route did not fire: each gate between an event and its delivery, with its answer."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, UnsetType

from openclaw_nats.contract.fields import Answer, DeliveryState, Time

GateName = Literal[
    "enabled",
    "pattern",
    "stored",
    "agents",
    "readable",
    "origin",
    "condition",
    "loop guard",
    "lateness",
    "inbox",
    "pause",
    "quiet hours",
    "rate",
    "batch",
    "debounce",
    "budget",
    "target",
]


class Gate(Answer):
    """One gate. `answer` is why it said no, and what it looked at when it said yes; `until` is when it opens again."""

    gate: GateName
    passed: bool
    answer: str
    until: Time | UnsetType = UNSET


class EventGates(Answer, kw_only=True):
    """One event at the gates of a route. `stopped_by` is the first gate that said no, if one did; `delivery` the
    delivery that the event became, if it did.
    """

    sequence: int
    id: str
    subject: str
    origin: str
    stored_at: Time
    verdict: str
    stopped_by: GateName | UnsetType = UNSET
    delivery: int | UnsetType = UNSET
    state: DeliveryState | UnsetType = UNSET
    gates: list[Gate]


class Stopped(Answer):
    """How many events one gate stopped for one reason; `newest` is the sequence of the newest of them."""

    gate: GateName
    reason: str
    events: int
    newest: int


class Why(Answer):
    """Why a route did not fire. `events` were looked at: one, or those on its pattern; `delivered` of them came out.

    `shown` are the newest that did not, gate by gate. Not `complete`: there were older events, or it took too long.
    """

    route: str
    verdict: str
    events: int
    delivered: int
    stopped: list[Stopped]
    shown: list[EventGates]
    complete: bool
