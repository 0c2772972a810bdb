"""The brake: what the operator has paused."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType, field

from openclaw_nats.contract.fields import Answer, Duration, Name, Time

MAX_REASON = 200


class Pause(Answer, kw_only=True):
    """What waits although it could go out. Without `route` it is about all routes: their turns, or with `everything`
    whatever they send, and the agents' tools. `until` is missing for a pause that lasts until it is resumed.
    """

    route: str | UnsetType = UNSET
    everything: bool = False
    reason: str = ""
    made_by: str
    since: Time
    until: Time | UnsetType = UNSET


class Pauses(Answer, kw_only=True):
    """All pauses. `sending`: dispatches in progress, which are left to end. `expiring`, in the answer to a new
    pause: routes with `expiresAfter`, whose events expire meanwhile as they always do.
    """

    pauses: list[Pause]
    sending: int
    expiring: list[str] | UnsetType = UNSET


class PauseRequest(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Pause turns: of one `route`, or of all, or with `everything` whatever goes out. `for` is how long."""

    route: Name | None = None
    lasts: Duration | None = field(name="for", default=None)
    reason: Annotated[str, Meta(max_length=MAX_REASON)] = ""
    everything: bool = False


class ResumeRequest(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """End the pause of one `route`, or the one of all routes."""

    route: Name | None = None
