"""What a message is deduplicated by: who sent it, its source and its id, under a key that only this sidecar has.

An id is the publisher's to choose, and many can be known in advance (a tick's time, an order's number). Written plainly
into `Nats-Msg-Id`, whoever names it first suppresses the event that it is meant for. So every `Nats-Msg-Id` that we
write is an HMAC-SHA256 over the three; nobody without the key can make one, and different publishers never share one.

Publishers are named by the origin of what they say (events/origin.py): `gateway`, `operator`, `key:<name>`; an agent by
its mark, `agent:<id> in <session>`; and `republish`, `bus` (notices) and `dead` (the dead-letter stream).
"""

from __future__ import annotations

import hmac

from openclaw_nats.events.messages import Message, StoredMessage
from openclaw_nats.events.origin import Origin
from openclaw_nats.events.seals import Seals

REPUBLISH = "republish"
BUS = "bus"
DEAD = "dead"
_BYTES = 16


class Identity:
    """Makes message ids and seals; `key` is at least 16 bytes. The sidecars of a fleet may share one."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.seals = Seals(key)

    def message_id(self, publisher: str, source: str, number: str) -> str:
        """The `Nats-Msg-Id` of an event: 32 hexadecimal digits."""
        return self._mac("id", publisher, source, number)

    def message(
        self, subject: str, body: bytes, origin: Origin, publisher: str, source: str, number: str, *, plain: str = ""
    ) -> Message:
        """An event as it is handed to the event log, with its id and its seal; `plain` as in Message."""
        found = self.message_id(publisher, source, number)
        return Message(subject, found, body, plain, source if plain else "", self.seals.seal(subject, body, origin))

    def _mac(self, *parts: str | bytes) -> str:
        encoded = [part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass") for part in parts]
        text = b"".join(b"%d:%b" % (len(part), part) for part in encoded)  # lengths: no two lists give one text
        return hmac.digest(self._key, text, "sha256")[:_BYTES].hex()


def place_of(sequence: int, time: int) -> str:
    """Where a message of the events stream was stored: its sequence, and when, to the millisecond.

    `time` is when it was stored, nanoseconds since the Unix epoch.

    In a stream that was made again sequences begin again, but never at the same moment: the two together belong to one
    message for good, also where a copy of the stream was restored.
    """
    return f"{sequence}@{int(time / 1e9 * 1000)}"  # as migration 0003 computes it from seconds


def replayed(place: str, replay: int) -> str:
    """Which delivery a replay makes of the event of a place: another one than that of any other replay."""
    return f"{place} replay {replay}"


def without_replay(place: str) -> str:
    """The place of the event itself."""
    return place.partition(" replay ")[0]


def event_of(message: StoredMessage) -> str:
    """Which event a message is: by its seal wherever it is stored, else by where it is."""
    return message.seal or place_of(message.sequence, message.time)
