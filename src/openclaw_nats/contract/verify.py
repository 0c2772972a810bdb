"""The certificate: what the events stream held, and whether it still does."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, UnsetType

from openclaw_nats.contract.fields import Answer, Time

DifferenceKind = Literal["removed", "altered", "added", "replaced"]


class Difference(Answer, omit_defaults=True):
    """Sequences from `first` to `last` that are not as they were recorded.

    `removed`: the event is gone before its time. `altered`: another one is in its place. `added`: it was not there.
    `replaced`: the whole stream was made again, or put back to an earlier state. `stored` is when the first one was
    stored.
    """

    what: DifferenceKind
    first: int
    last: int
    stored: Time | UnsetType = UNSET


class KindCount(Answer):
    """How many events of a kind (the first word behind `agent.events.`) were stored."""

    kind: str
    stored: int


class CertifiedDay(Answer, kw_only=True):
    """What was stored on a day (UTC): between these sequences, by kind. `first` is 0 for a day without events.

    `fromGateway` came from the plugin or the bus, `lost` is what the plugin's spool has counted as lost. `previous` is
    the digest of the link before, `dayBefore` that of the record of the day before: each stands for all before it.
    """

    number: int
    day: str
    at: Time
    first: int
    last: int
    stored: int
    from_gateway: int
    lost: int
    kinds: list[KindCount]
    previous: str
    day_before: str


class Certificate(Answer, kw_only=True):
    """What a verification has found.

    `sound` is false when the chain of records is broken (`problem`) or the stream differs from it (`differences`, at
    most 100; `differing` counts all events). `emitted` is `fromGateway`, `lost` and what is `waiting` in the spool
    together. `expired` have outlived the stream's age limit, `madeRoom` went because of its limits of size. `number`
    and `digest` are those of the newest link.
    """

    sound: bool
    problem: str
    at: Time
    since: Time | UnsetType = UNSET
    stream: str
    first: int
    last: int
    checked: int
    emitted: int
    stored: int
    from_gateway: int
    lost: int
    waiting: int
    expired: int
    made_room: int
    kinds: list[KindCount]
    differences: list[Difference]
    differing: int
    number: int
    digest: str
    seconds: float


class CertificateState(Answer):
    """`last` is the newest certificate, null before the first. While one is made, `running` is true, and `checked` of
    `total` events are done; `failure` says why the newest attempt came to no end. `days` are the newest first.
    """

    running: bool
    checked: int
    total: int
    failure: str
    last: Certificate | None
    days: list[CertifiedDay]
