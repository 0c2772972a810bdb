"""What NATS does not let its user do, as it says it: apart from any request, in small letters.

A request that is refused gets no answer: without this it would be taken for a NATS that keeps still.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

REMEMBERED_SECONDS = 30.0  # what is refused for good is tried again more often than that
_MOST = 64
_VIOLATION = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"', re.IGNORECASE)
READER = ".openclaw-nats-read-"  # then a number of its own: the name of a consumer that reads a stream once
HINT = "docs/how-to/fleet.md lists the permissions that a sidecar's user needs."


class Refusals:
    """The refusals of one connection."""

    def __init__(self, inbox_prefix: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._inbox_prefix = inbox_prefix
        self._clock = clock
        self._publishes: dict[str, float] = {}
        self._deaf_since: float | None = None

    def known(self, error: str) -> bool:
        """Whether an error of the server is a refusal that it has told already."""
        found = _VIOLATION.search(error)
        return found is not None and found[1].lower() == "publish" and bool(self.on(_beginning(found[2])))

    def note(self, error: str) -> str | None:
        """Take an error of the server; the subject in small letters when it refuses a publish, else None."""
        found = _VIOLATION.search(error)
        if found is None:
            return None
        kind, subject = found[1].lower(), found[2].lower()
        if kind == "subscription":
            if subject.startswith(self._inbox_prefix.lower()):
                self._deaf_since = self._clock()
            return None
        self._publishes.pop(subject, None)
        self._publishes[subject] = self._clock()
        while len(self._publishes) > _MOST:
            del self._publishes[next(iter(self._publishes))]
        return subject

    @property
    def deaf(self) -> str:
        """Why no answer can come; empty when answers come."""
        if self._deaf_since is None:
            return ""
        return (
            f"NATS does not let this user subscribe to {self._inbox_prefix}.>, where answers come (nats.inbox_prefix)"
        )

    def hear_again(self) -> bool:
        """Whether it is time to subscribe once more, which then counts as allowed until it is refused again."""
        if self._deaf_since is None or self._clock() - self._deaf_since < REMEMBERED_SECONDS:
            return False
        self._deaf_since = None
        return True

    def forget(self) -> None:
        """There is another connection."""
        self._publishes.clear()
        self._deaf_since = None

    def on(self, *beginnings: str) -> str:
        """Why something can't be done that publishes on subjects which begin like this; empty when nothing says so."""
        since = self._clock() - REMEMBERED_SECONDS
        for subject, at in reversed(self._publishes.items()):
            if at >= since and any(subject.startswith(beginning.lower()) for beginning in beginnings):
                return may_not(subject)
        return ""


def in_words(error: str) -> str:
    """An error of the server: a refused publish in our words, anything else as it is."""
    found = _VIOLATION.search(error)
    return may_not(found[2]) if found is not None and found[1].lower() == "publish" else error


def _beginning(subject: str) -> str:
    """Acknowledgements have a subject each, and so has each consumer that reads a stream once: refused as one."""
    if subject.lower().startswith("$js.ack."):
        return "$JS.ACK."
    before, reader, _ = subject.partition(READER)
    return before + reader


def may_not(subject: str) -> str:
    """What is said of a refused publish; `subject` may be in small letters."""
    return f"NATS does not let this user publish on {_shown(subject)}"


def _shown(subject: str) -> str:
    """JetStream's own subjects with their capitals; an acknowledgement's without its numbers."""
    parts = subject.split(".")
    if parts[0].lower() != "$js":
        return subject
    own = next((place for place, part in enumerate(parts) if part.lower().startswith("agent_")), len(parts))
    api = parts.index("api") if "api" in parts else 1  # between the two a domain, which is as it is written
    head = [part.upper() if place in (0, api) or place > api else part for place, part in enumerate(parts[:own])]
    if parts[1].lower() == "ack":
        return "$JS.ACK.>"
    return ".".join(head + parts[own:])
