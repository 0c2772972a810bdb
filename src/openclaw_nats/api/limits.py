"""What a limited key may publish and read. The admin key and a signed-in browser have no such limits."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request

from openclaw_nats.contract.keys import LimitedKey
from openclaw_nats.errors import NotAllowed
from openclaw_nats.events.origin import OWNED, Origin, of_limited_key
from openclaw_nats.events.subjects import covers, matches_any


def key_of(request: Request) -> LimitedKey | None:
    """The limited key of a request; None for one that is not limited."""
    found: LimitedKey | None = request.scope.get("limited_key")
    return found


def said_by(key: LimitedKey) -> Callable[[str], Origin]:
    """The origin of the key's events, by their subjects; it raises NotAllowed for one on which it may not publish."""
    origin = of_limited_key(key.name)

    def origin_of(subject: str) -> Origin:
        if not matches_any(key.publish, subject):
            raise NotAllowed(
                f"the key {key.name} may not publish on {subject[:255]}", hint=f"It may on {_list(key.publish)}."
            )
        if matches_any(OWNED, subject):
            raise NotAllowed(
                f"nobody but the Gateway, the bus and your own jobs may publish on {subject[:255]}",
                hint="agent.events.custom.<your.name> is for others.",
            )
        return origin

    return origin_of


def check_parameters(key: LimitedKey, request: Request, *refused: str) -> None:
    """Raise NotAllowed when a request asks for what tells of more than its events."""
    for name in refused:
        if name in request.query_params or name in request.headers:
            raise NotAllowed(f"{name} is not for limited keys, and {key.name} is one")


def readable(key: LimitedKey, asked: str | None) -> str:
    """The pattern that is read: the one that is asked for, or the key's only one; raise NotAllowed for another."""
    if asked is None and len(key.read) == 1:
        return key.read[0]
    if asked is not None and any(covers(pattern, asked) for pattern in key.read):
        return asked
    what = f"may not read {asked[:255]}" if asked is not None else "has to say what it reads: ?subject=<pattern>"
    raise NotAllowed(f"the key {key.name} {what}", hint=f"It may read {_list(key.read)}.")


def _list(patterns: list[str]) -> str:
    return ", ".join(patterns) or "nothing"
