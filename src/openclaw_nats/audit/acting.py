"""Who acts now. The API says it for each request and the toolbox for each call; without a word it is the bus itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

BUS = "openclaw-nats"
COMMAND_LINE = "the command line"
API_KEY = "the API key"

_actor: ContextVar[str] = ContextVar("actor", default=BUS)


def actor() -> str:
    """Who acts: `the command line`, `the API key`, `dashboard <session>`, `agent:<id> …`, or `openclaw-nats`."""
    return _actor.get()


@contextmanager
def acting(who: str) -> Iterator[None]:
    """Everything that is awaited in here is done by `who`."""
    token = _actor.set(who)
    try:
        yield
    finally:
        _actor.reset(token)
