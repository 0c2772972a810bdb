"""What a message is deduplicated by: who sent it, its source and its id, under a key that only this sidecar has.

An id is the publisher's to choose, and many can be known in advance (a tick's time, an order's number). Written plainly
into `Nats-Msg-Id`, whoever names it first suppresses the event that it is meant for. So every `Nats-Msg-Id` that we
write is an HMAC-SHA256 over the three; nobody without the key can make one, and different publishers never share one.

Publishers (the later origin of an event builds on them): `api` (the plugin, the CLI and whoever else has the key),
`agent:<id> in <session>`, `republish`, `bus` (notices), `dead` (the dead-letter stream), `tick` (jobs and timers).
"""

from __future__ import annotations

import hmac

API = "api"
REPUBLISH = "republish"
BUS = "bus"
DEAD = "dead"
TICK = "tick"
_BYTES = 16
# A tick whose message says so is stored under this header: its seal, which nats-server passes on when it fires.
SEAL = "Openclaw-Nats-Seal"


class Identity:
    """Makes message ids and seals; `key` is at least 16 bytes and never leaves the state directory."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def message_id(self, publisher: str, source: str, number: str) -> str:
        """The `Nats-Msg-Id` of an event: 32 hexadecimal digits."""
        return self._mac("id", publisher, source, number)

    def seal(self, subject: str, body: bytes) -> str:
        """The seal of a message that somebody else stores for us later: it holds for this subject and these bytes."""
        return self._mac("seal", subject, body)

    def sealed(self, seal: str, subject: str, body: bytes) -> bool:
        """Whether a seal is ours and for this message."""
        return hmac.compare_digest(seal.encode("utf-8", "replace"), self.seal(subject, body).encode())

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
