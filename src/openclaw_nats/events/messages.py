"""What goes into the event log and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass

from openclaw_nats.events.origin import OUTSIDE, Origin


@dataclass(frozen=True, slots=True)
class Message:
    """One event as it is handed to the event log: where to, under which id, which bytes.

    `id` is what it is deduplicated by: a keyed hash (events/identity.py), never what the publisher chose. `plain` and
    `source` are the event's own, by which messages of versions without such a key are known; for `seal` see
    events/seals.py.
    """

    subject: str
    id: str
    body: bytes
    plain: str = ""
    source: str = ""
    seal: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    """What the event log did with one message. A duplicate's sequence is that of the message stored first."""

    sequence: int
    duplicate: bool


@dataclass(slots=True)
class StoredMessage:
    """One message as the event log returns it. `time` is when it was stored, nanoseconds since the Unix epoch.

    `origin`, `believed` and `seal` say what its seal proves (events/seals.py): who said it, whether its attributes
    about the Gateway count, and which event it is wherever it is stored (empty: it is itself by its place).
    """

    sequence: int
    subject: str
    headers: dict[str, str]
    body: bytes
    time: int
    pending: int
    origin: Origin = OUTSIDE
    believed: bool = True
    seal: str = ""
