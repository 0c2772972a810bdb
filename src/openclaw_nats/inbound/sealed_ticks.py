"""Ticks of our own jobs and timers are known by their seals, wherever they were stored.

When the events stream is made again, the server passes on once more what has fired. Such a message has another place,
but the seal that its job or timer was armed with: it is the same event. A copy that somebody else stores before its
time is not believed.
"""

from __future__ import annotations

from typing import Any

from openclaw_nats.errors import InvalidInput
from openclaw_nats.events import envelope, json_text
from openclaw_nats.events.identity import SEAL, Identity, place_of
from openclaw_nats.events.messages import StoredMessage

_EARLY_SECONDS = 1.0


def place_in(message: StoredMessage, identity: Identity) -> str:
    """Which event a message is: `place_of`, but for a tick that carries our seal."""
    seal = message.headers.get(SEAL, "")
    if (
        seal
        and identity.sealed(seal, message.subject, message.body)
        and _due(message) - _EARLY_SECONDS <= message.time / 1e9
    ):
        return f"tick:{seal}"
    return place_of(message.sequence, message.time)


def _due(message: StoredMessage) -> float:
    """When it was meant to fire, in seconds since the Unix epoch; infinity when it does not say."""
    try:
        data: Any = json_text.values(bytes(envelope.decode(message.body).data))
        note = data.get("_cron") or data.get("_timer")
        return envelope.parse_time(note["scheduledFor"]).timestamp()
    except (InvalidInput, ValueError, KeyError, TypeError, AttributeError):
        return float("inf")
