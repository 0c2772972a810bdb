"""Ticks of our own jobs and timers are known by their seals, wherever they were stored.

When the events stream is made again, the server passes on once more what has fired. Such a message has another place,
but the seal that its job or timer was armed with: it is the same event. A copy that somebody else stores before its
time is not believed.

Nor does it wake a route that was made after it fired: what a route is for begins when it is made, and a copy that the
server stores later only looks new.
"""

from __future__ import annotations

from openclaw_nats.errors import InvalidInput
from openclaw_nats.events import envelope, json_text
from openclaw_nats.events.identity import SEAL, Identity, place_of
from openclaw_nats.events.messages import StoredMessage

_EARLY_SECONDS = 1.0
_NEVER = float("inf")


class SealedTicks:
    """Knows our ticks by the key that seals them."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def place_of(self, message: StoredMessage) -> str:
        """Which event a message is: where it was stored, but for a tick that carries our seal the tick."""
        if self._is_ours(message) and _moment(message, "scheduledFor") - _EARLY_SECONDS <= message.time / 1e9:
            return f"tick:{message.headers[SEAL]}"
        return place_of(message.sequence, message.time)

    def fired_at(self, message: StoredMessage) -> float | None:
        """When a tick of ours fired for the first time, in seconds since the Unix epoch; None for anything else."""
        if not self._is_ours(message):
            return None
        moment = _moment(message, "firedAt")
        return moment if moment != _NEVER else None

    def _is_ours(self, message: StoredMessage) -> bool:
        seal = message.headers.get(SEAL, "")
        return bool(seal) and self._identity.sealed(seal, message.subject, message.body)


def _moment(message: StoredMessage, name: str) -> float:
    """A time that a tick gives of itself, in seconds since the Unix epoch; infinity when it does not say."""
    try:
        data = json_text.values(bytes(envelope.decode(message.body).data))
        note = data.get("_cron") or data.get("_timer")
        return envelope.parse_time(note[name]).timestamp()
    except (InvalidInput, ValueError, KeyError, TypeError, AttributeError):
        return _NEVER
