"""Alerts: what is wrong, and the channels that report it. Addresses and secrets go in and never come out."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from openclaw_nats.contract.fields import Answer, Duration, Name, Time
from openclaw_nats.contract.routes import QuietHours

AlertKind = Literal[
    "approvals", "budget", "dead-letters", "disk", "expectation", "gateway", "inbox", "missed", "nats", "plugin",
    "sidecar", "spool", "stream", "target",
]  # fmt: skip
AlertFormat = Literal["json", "text"]
Secret = Annotated[str, Meta(description="Never shown again", extra_json_schema={"maxLength": 512})]
Address = Annotated[
    str, Meta(description="Never shown again, only its host", extra_json_schema={"minLength": 1, "maxLength": 2000})
]


class AlertChannelRequest(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """A new channel: a webhook, signed as Standard Webhooks says when there is a `secret`, or the address of a service
    that Apprise knows (`ntfy://`, `slack://`, `mailto://`), which gets text. Alerts of `window` go in one
    message; what goes on is reported again after `again`. `without` are kinds that are left out. With `content` a
    message also holds what dead letters, approvals and expectations are about: others may read it where it arrives.
    """

    name: Name
    to: Address
    secret: Secret = ""
    format: AlertFormat = "json"
    window: Duration = "30s"
    again: Duration = "4h"
    quiet_hours: QuietHours | None = None
    without: list[AlertKind] = []
    content: bool = False


class AlertChannelChange(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """What is changed of a channel; the rest stays."""

    paused: bool


class AlertChannel(Answer, kw_only=True, omit_defaults=True):
    """A channel. `to` is its address up to the host, `signed` whether it has a secret. `waiting` counts messages that
    were not sent yet; `lastError` says why, and is empty when the last attempt succeeded.
    """

    name: str
    to: str
    signed: bool
    format: AlertFormat
    window: Duration
    again: Duration
    quiet_hours: QuietHours | UnsetType = UNSET
    without: list[AlertKind] = []
    content: bool = False
    made: Time
    paused: bool
    waiting: int
    last_error: str


class AlertCondition(Answer):
    """Something that is wrong now, since when, and the page of the dashboard about it."""

    key: str
    kind: str
    text: str
    since: Time
    link: str


class Alerts(Answer):
    """All channels, and what is wrong now. Without a channel nobody looks, and `conditions` is empty."""

    channels: list[AlertChannel]
    conditions: list[AlertCondition]


class AlertMessage(Answer, omit_defaults=True):
    """A message. `id` is the `webhook-id` of each attempt; `state` is waiting, sent or failed, `error` why."""

    id: str
    title: str
    made: Time
    state: Literal["waiting", "sent", "failed"]
    attempts: int
    error: str = ""
    ended: Time | UnsetType = UNSET


class AlertHistory(Answer):
    """The messages to a channel, the newest first."""

    messages: list[AlertMessage]


class AlertTested(Answer):
    """Whether the receiver took a test message; `error` says why not."""

    sent: bool
    error: str


class AlertBodyItem(Answer):
    """One alert in a message. `content` is there only on a channel that was made with it: text that others wrote."""

    key: str
    kind: str
    text: str
    since: Time | None
    link: str
    content: list[str] | UnsetType = UNSET


class AlertBodyData(Answer):
    """What a message reports: what is new, what goes on, and what is over."""

    title: str
    gateway_id: str
    raised: list[AlertBodyItem]
    again: list[AlertBodyItem]
    recovered: list[AlertBodyItem]


class AlertBody(Answer):
    """The body of the webhook, with `format` json."""

    type: Literal["openclaw-nats.alert", "openclaw-nats.alert_test"]
    timestamp: Time
    data: AlertBodyData
