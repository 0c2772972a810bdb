"""What a limited key may publish and read. The admin key and a signed-in browser have no such limits."""

from __future__ import annotations

from starlette.requests import Request

from openclaw_nats.contract.keys import LimitedKey
from openclaw_nats.errors import NotAllowed
from openclaw_nats.events.subjects import covers
from openclaw_nats.keys.rights import in_words


def key_of(request: Request) -> LimitedKey | None:
    """The limited key of a request; None for one that is not limited."""
    found: LimitedKey | None = request.scope.get("limited_key")
    return found


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
    raise NotAllowed(f"the key {key.name} {what}", hint=f"It may read {in_words(key.read)}.")
