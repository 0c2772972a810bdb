"""What an event of a source is called: the provider's name for it as tokens of a subject."""

from __future__ import annotations

import re

from openclaw_nats.events.subjects import MAX_BYTES, PREFIX, token_from_name
from openclaw_nats.sources.watched import is_watched

WITHOUT_NAME = "received"
_MOST_TOKENS = 6
_LONGEST_NAME = 1000  # characters of a name that are looked at: it may be as long as a request
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")
_PARTS = re.compile(r"[./:\s]+")


def base_of(kind: str, name: str) -> str:
    """What the subjects of a source's events begin with, unless it is told otherwise."""
    return f"{PREFIX}{'watch' if is_watched(kind) else 'webhook'}.{name}"


def subject_of(base: str, event: str) -> str:
    """The subject of an event: `agent.events.webhook.gh` and `issues.opened`, say."""
    parts = [part for part in _PARTS.split(event[:_LONGEST_NAME].strip()) if part]
    tokens = [token_from_name(part) for part in parts[:_MOST_TOKENS]]
    subject = ".".join([base, *(tokens or [WITHOUT_NAME])])
    return subject if len(subject.encode()) <= MAX_BYTES else subject[:MAX_BYTES].rstrip(".")


def type_of(kind: str, event: str) -> str:
    """The event's type: its name as the provider writes it, in characters that a type may have."""
    return f"webhook.{kind}.{_UNPRINTABLE.sub('_', event[:_LONGEST_NAME])}".rstrip(". ")[:200]
