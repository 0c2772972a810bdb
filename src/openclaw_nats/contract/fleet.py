"""The fleet: the sidecars on one NATS, as any of them sees them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from openclaw_nats.contract.fields import Answer, Time

Part = Literal["up", "down", "unknown"]
Word = Annotated[str, Meta(max_length=256)]
Count = Annotated[int, Meta(ge=0)]


class MemberStatus(Answer, forbid_unknown_fields=False):
    """What a sidecar says about itself to the others. `problems` are for operators, the worst first; a count is null
    when it is not known now. `delivers` is false where another sidecar holds its `gateway.id`.
    """

    gateway_id: Word
    installation: Word
    host: Word
    version: Word
    openclaw_version: Word
    nats_version: Word
    since: Time
    nats: Part
    gateway: Part
    plugin: Part
    delivers: bool
    events_last_minute: Count
    waiting: Count | None
    dead: Count | None
    spooled: Count | None
    problems: Annotated[list[Annotated[str, Meta(max_length=500)]], Meta(max_length=20)]


class FleetMember(MemberStatus):
    """A sidecar that has answered. `proven` says that it seals with the key of the one that was asked; of another
    nothing is known but what it says.
    """

    proven: bool = False


class SilentMember(Answer):
    """A Gateway that has a lease on this NATS, and whose sidecar did not answer. `stopped` says that it was stopped in
    order; `seen` is its own clock, when it last wrote its lease.
    """

    gateway_id: Word
    host: Word
    seen: Time
    stopped: bool


class Fleet(Answer):
    """All sidecars on one NATS. `unreadable` counts answers that made no sense; `lastError` says why some may be
    missing.
    """

    members: list[FleetMember]
    silent: list[SilentMember]
    unreadable: int
    last_error: str


class MemberVersions(Answer):
    """The versions of one sidecar and what it works with; `behind` names those that another has newer."""

    gateway_id: str
    version: str
    openclaw_version: str
    nats_version: str
    behind: list[str]


class FleetVersions(Answer):
    """The versions in the fleet, and the newest of each that is there."""

    members: list[MemberVersions]
    newest: dict[str, str]
