"""On which subjects a limited key may publish, and where at NATS."""

from __future__ import annotations

from collections.abc import Callable

from openclaw_nats.contract.keys import LimitedKey
from openclaw_nats.errors import NotAllowed
from openclaw_nats.events.origin import Origin, is_owned, of_limited_key
from openclaw_nats.events.subjects import matches_any

NATS_PREFIX = "key"
FIRST_TRY = "Openclaw-Nats-First-Try"  # of a repetition over NATS: for how many seconds its publisher has tried already


def said_by(key: LimitedKey) -> Callable[[str], Origin]:
    """The origin of the key's events, by their subjects; it raises NotAllowed for one on which it may not publish."""
    origin = of_limited_key(key.name)

    def origin_of(subject: str) -> Origin:
        if not matches_any(key.publish, subject):
            raise NotAllowed(
                f"the key {key.name} may not publish on {subject[:255]}", hint=f"It may on {in_words(key.publish)}."
            )
        if is_owned(subject):
            raise NotAllowed(
                f"nobody but the Gateway, the bus and your own jobs may publish on {subject[:255]}",
                hint="agent.events.custom.<your.name> is for others.",
            )
        return origin

    return origin_of


def at_nats(name: str, subject: str) -> str:
    """Where a key publishes at NATS what is meant for a subject or pattern: in no stream, so that we take it in.

    In a stream's own subjects the server would answer for us, to whatever subject the key asks it to: also one on which
    the key may not publish.
    """
    return f"{NATS_PREFIX}.{name}.{subject}"


def inbox_of(name: str) -> str:
    """What the subjects begin with on which a key hears answers at NATS, and where alone it is answered."""
    return f"_INBOX.{name}"


def in_words(patterns: list[str]) -> str:
    """Patterns as a text names them."""
    return ", ".join(patterns) or "nothing"
