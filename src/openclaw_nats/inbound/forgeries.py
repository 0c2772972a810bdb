"""Events from outside on subjects where only the Gateway and the bus speak: what the operator is told of them."""

from __future__ import annotations

import time
from collections.abc import Callable

from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.origin import OWNED
from openclaw_nats.events.subjects import matches_any
from openclaw_nats.terminal_text import plural

SHOWN_SECONDS = 7 * 86400.0
FORGED = (
    "only the Gateway, the bus and your own jobs speak on this subject, and no seal of theirs is on the event: it was "
    "published by somebody else, or by a sidecar with another key"
)


def is_forged(message: StoredMessage) -> bool:
    """Whether a message pretends to be the Gateway's or the bus's."""
    return not message.believed and matches_any(OWNED, message.subject)


class Forgeries:
    """Counts them since the start; `is_foreign` says whether one has a seal that our key did not make."""

    def __init__(
        self,
        is_foreign: Callable[[StoredMessage], bool] = lambda message: False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._is_foreign = is_foreign
        self._clock = clock
        self.count = 0
        self.foreign = 0
        self._last = ""
        self._at = 0.0

    def note(self, message: StoredMessage) -> None:
        """One more."""
        self.count += 1
        self.foreign += self._is_foreign(message)
        self._last, self._at = message.subject, self._clock()

    @property
    def text(self) -> str:
        """For health and doctor; empty when there were none lately."""
        if not self.count or self._clock() - self._at > SHOWN_SECONDS:
            return ""
        said = (
            f"{plural(self.count, 'event')} from outside on subjects of the Gateway or the bus woke nobody (the last "
            f"on {self._last[:120]}): `openclaw-nats events --subject` shows them"
        )
        if self.foreign:
            said += (
                f"; {self.foreign} had a seal of another key: sidecars that are to believe each other share the file "
                "identity-key"
            )
        return said
