"""A parcel for tests of the ways to the Gateway."""

from __future__ import annotations

from typing import Any

from openclaw_nats.ports import Parcel


def parcel(key: str = "k1", **more: Any) -> Parcel:
    """A parcel for a session of agent main; `more` replaces fields."""
    fields: dict[str, Any] = {
        "dispatch": key,
        "route": "r",
        "kind": "session",
        "text": "hello",
        "events": 1,
        "hops": 1,
        "trusted": False,
        "confirm": "ok",
        "agent": "main",
        "session": "agent:main:x",
    }
    return Parcel(key=key, **(fields | more))
