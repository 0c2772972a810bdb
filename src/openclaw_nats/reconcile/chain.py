"""The chain: links of recorded events, a record for each day, and notes of what went; each holds the digest before.

A digest needs the key of the state directory, so whoever edits the database alone can't make a chain that fits. The
newest digest lies beside the database (the head): what was cut off at the end is noticed, too. Of each event there are
twelve bytes: when it was stored (seconds) and a keyed digest of sequence, time, subject, headers and body. A sequence
without an event has zeros.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import msgspec
from msgspec import Struct

from openclaw_nats.contract.verify import CertifiedDay
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.storage.certificate import LinkRow

NOTHING = "0" * 64
ENTRY = 12
EMPTY = b"\0" * ENTRY
MOST_ENTRIES = 1000
TTL = "Nats-TTL"  # nats-server removes such a message by itself

LinkKind = Literal["events", "day", "pruned", "stream"]


class Record(Struct, kw_only=True):
    """What every link's record has."""

    number: int
    previous: str


class EventsRecord(Record, kw_only=True):
    """A link of events: which stream, which day, and what was counted; `kinds` by the first word of the subject."""

    stream: str
    day: str
    stored: int
    gateway: int
    lost: int
    kinds: dict[str, int]


class PrunedRecord(Record, kw_only=True):
    """Links up to `through`, whose digest is `digest`, were removed: their events are older than the stream keeps."""

    through: int
    digest: str


class StreamRecord(Record, kw_only=True):
    """From here on the stream is the one made at `stream`, recorded from behind the sequence `base`.

    `continues`: it holds what the one before held, whose last recorded sequence is `last`. `at`: when it was noticed.
    """

    stream: str
    continues: bool
    base: int
    last: int
    at: float


@dataclass(frozen=True, slots=True)
class Head:
    """The newest link that is known to have been there."""

    number: int
    digest: str


class HeadFile(Protocol):
    """Where the newest digest lies, outside of the database."""

    def read(self) -> Head | None:
        """The newest link that is known to have been there; None without a file."""

    def raise_to(self, head: Head) -> None:
        """Keep a newer one; an older one changes nothing."""


def entry_of(key: bytes, message: StoredMessage) -> bytes:
    """The twelve bytes of an event; zeros for one that removes itself."""
    if TTL in message.headers:
        return EMPTY
    digest = hashlib.blake2b(key=key, digest_size=8)
    digest.update(struct.pack(">QQ", message.sequence, message.time))
    headers = sorted(message.headers.items())
    for part in (message.subject, *(text for pair in headers for text in pair)):
        found = part.encode("utf-8", "surrogatepass")
        digest.update(struct.pack(">I", len(found)))
        digest.update(found)
    digest.update(message.body)
    return struct.pack(">I", min(message.time // 1_000_000_000, 0xFFFFFFFF)) + digest.digest()


def stored_at(entry: bytes) -> float:
    """When an event was stored, by its entry."""
    return float(struct.unpack(">I", entry[:4])[0])


def digest_of(key: bytes, row: LinkRow) -> str:
    """The digest of a link, whose record holds the digest of the one before."""
    head = f"{row.kind} {row.first} {row.last} {row.newest!r} {row.record}"
    found = hmac.new(key, head.encode("utf-8", "surrogatepass") + b"\0", hashlib.sha256)
    found.update(row.entries)
    return found.hexdigest()


def link(
    key: bytes,
    kind: LinkKind,
    record: Record | CertifiedDay,
    entries: bytes = b"",
    span: tuple[int, int, float] = (0, 0, 0.0),
) -> LinkRow:
    """The row of a link; `span` is its first and last sequence, and when its newest event was stored."""
    row = LinkRow(record.number, kind, *span, msgspec.json.encode(record).decode(), entries, "")
    return replace(row, digest=digest_of(key, row))


class Chain:
    """Checks links, the oldest first; `problem` is the first thing that is wrong."""

    def __init__(self, key: bytes, head: Head | None) -> None:
        self._key = key
        self._head = head
        self.problem = ""
        self._oldest: tuple[int, str] | None = None
        self._pruned = (0, NOTHING)
        self.newest = Head(0, NOTHING)

    def take(self, rows: Sequence[LinkRow]) -> None:
        """The next links."""
        for row in rows:
            self.problem = self.problem or self._fault(row)
            self.newest = Head(row.number, row.digest)

    def end(self) -> None:
        """There are no more."""
        first = self._oldest
        if not self.problem and first is not None and (first[0] - 1, first[1]) != self._pruned:
            self.problem = f"what was before record {first[0]} is missing"
        if self.problem:
            return
        if self._head is None and self.newest.number:
            self.problem = "the file verify-head is missing: what was cut off at the end can't be noticed"
        elif self._head is not None and self._head.number > self.newest.number:
            self.problem = f"the newest records are missing: {self.newest.number + 1} to {self._head.number}"

    def _fault(self, row: LinkRow) -> str:
        before = self.newest
        if before.number and row.number != before.number + 1:
            return f"what was between the records {before.number} and {row.number} is missing"
        if not hmac.compare_digest(digest_of(self._key, row), row.digest):
            return f"record {row.number} was changed, or was not written by this installation"
        try:
            found = msgspec.json.decode(row.record, type=Record)
            if row.kind == "pruned":
                pruned = msgspec.json.decode(row.record, type=PrunedRecord)
                self._pruned = (pruned.through, pruned.digest)
        except msgspec.MsgspecError:
            return f"record {row.number} can't be read"
        if found.number != row.number or (before.number and found.previous != before.digest):
            return f"record {row.number} does not follow on the one before"
        if self._head is not None and self._head.number == row.number and self._head.digest != row.digest:
            return f"record {row.number} is another one than the one that was there"
        if self._oldest is None:
            self._oldest = (row.number, found.previous)
        return ""
