"""What the API answers when it refuses or fails: problem documents (RFC 9457)."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from openclaw_nats.contract.fields import Answer


class Problem(Answer):
    """`type` is `urn:openclaw-nats:problem:<name>`; `field` is the path of the field of the request that is wrong."""

    type: str
    title: str
    status: int
    detail: str
    hint: str | UnsetType = UNSET
    field: str | UnsetType = UNSET


class Trouble(Answer):
    """One thing that is wrong with a draft. `field` is empty when it concerns the whole."""

    field: str
    message: str
    hint: str
