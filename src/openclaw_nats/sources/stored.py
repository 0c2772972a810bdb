"""Sources as their file holds them, secrets included."""

from __future__ import annotations

from msgspec import Struct

from openclaw_nats.contract.fields import Time
from openclaw_nats.contract.sources import SourceOptions, SourceType


class StoredSource(Struct, rename="camel", kw_only=True):
    """A source in the file `sources.json`, secrets included: the newest first, the others with an end. One that watches
    has no `token`, and may have no secret.
    """

    name: str
    type: SourceType
    subject: str
    token: str
    secrets: list[StoredSecret]
    made: Time
    paused: bool = False
    options: SourceOptions


class StoredSecret(Struct, rename="camel", kw_only=True):
    """A secret, and until when it counts (Unix seconds; 0: without an end)."""

    secret: str
    until: float = 0.0


class SourceFile(Struct):
    """All sources of a state directory."""

    sources: list[StoredSource]
