"""What goes into the event log and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """One event as it is handed to the event log: where to, under which id, which bytes."""

    subject: str
    id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """What the event log did with one message. A duplicate's sequence is that of the message stored first."""

    sequence: int
    duplicate: bool


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One message as the event log returns it. `time` is when it was stored, nanoseconds since the Unix epoch."""

    sequence: int
    subject: str
    headers: dict[str, str]
    body: bytes
    time: int
    pending: int
