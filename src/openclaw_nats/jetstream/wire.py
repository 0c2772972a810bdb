"""Messages as JetStream hands them out to a consumer."""

from __future__ import annotations

from dataclasses import dataclass

from nats.aio.msg import Msg

from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.seals import Seals


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message stands: in its stream, and in what its consumer has handed out (both count from 1).

    `time` is when it was stored, nanoseconds since the Unix epoch; `pending` how many come after it.
    """

    sequence: int
    delivered: int
    time: int
    pending: int


def place_of(message: Msg) -> Place | None:
    """The place that a message's reply subject gives; None for a message that no consumer handed out.

    `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<consumer sequence>.<time>.<pending>`, or from a newer server
    with domain and account after ACK and a token at the end (NATS ADR-15).
    """
    tokens = message.reply.split(".")
    if tokens[:2] != ["$JS", "ACK"] or len(tokens) < 9:
        return None
    at = 5 if len(tokens) == 9 else 7
    return Place(int(tokens[at]), int(tokens[at + 1]), int(tokens[at + 2]), int(tokens[at + 3]))


def stored(message: Msg, place: Place, seals: Seals | None) -> StoredMessage:
    """The message as the event log returns it, with what its seal proves."""
    found = StoredMessage(
        sequence=place.sequence,
        subject=message.subject,
        headers=dict(message.headers or {}),
        body=message.data,
        time=place.time,
        pending=place.pending,
        believed=False,
    )
    return found if seals is None else seals.checked(found)


def status_of(message: Msg) -> str:
    """The status of a message without content, such as `404`; empty for a message of the stream."""
    return "" if message.reply.startswith("$JS.ACK.") else (message.headers or {}).get("Status", "")
