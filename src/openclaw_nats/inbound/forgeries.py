"""Messages that are not what their subject says: what the operator is told of them."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.origin import is_owned
from openclaw_nats.terminal_text import plural

SHOWN_SECONDS = 7 * 86400.0
FORGED = (
    "only the Gateway, the bus and your own jobs speak on this subject, and no seal of theirs is on the event: it was "
    "published by somebody else, or by a sidecar with another key"
)


ACKNOWLEDGEMENT = (
    "it is an acknowledgement of JetStream, which whoever publishes over NATS may have sent to any subject, also where "
    "it may not publish itself"
)
_ACK = frozenset({"stream", "seq", "duplicate", "domain", "error", "val", "batch", "count"})
_ACK_BYTES = 1024


def forgery(message: StoredMessage) -> str:
    """Why a message wakes nobody: it pretends to be the Gateway's or the bus's, or is no event; else empty."""
    if message.believed:
        return ""
    if is_owned(message.subject):
        return FORGED
    return ACKNOWLEDGEMENT if _is_acknowledgement(message.body) else ""


def _is_acknowledgement(body: bytes) -> bool:
    """Whether a body is what JetStream answers to a publisher (docs.nats.io, "JetStream wire API", PubAck).

    Where it goes is the publisher's to say, and nats-server asks no permission for that.
    """
    if len(body) > _ACK_BYTES or b'"seq"' not in body or b'"stream"' not in body:
        return False
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return (
        isinstance(fields, dict)
        and fields.keys() <= _ACK
        and isinstance(fields.get("stream"), str)
        and isinstance(fields.get("seq"), int)
    )


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
            f"{plural(self.count, 'event')} from outside on subjects of the Gateway or the bus, or acknowledgements of "
            f"NATS, woke nobody (the last on {self._last[:120]}): `openclaw-nats events --subject` shows them"
        )
        if self.foreign:
            said += (
                f"; {self.foreign} had a seal of another key: sidecars that are to believe each other share the file "
                "identity-key"
            )
        return said
