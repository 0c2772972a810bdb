"""The chain: each record holds the digest of the one before, and a digest needs the key of the state directory.

So whoever edits the database alone can't make a chain that fits; and since the newest digest lies beside the database
as well (the head), what was cut off at the end is noticed too. The oldest records are removed when there are too many:
a record in the chain says up to where, so that anything else that is missing at the beginning is noticed.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from openclaw_nats.contract.audit import AuditRecord, AuditState
from openclaw_nats.storage.audit import AuditRow

NOTHING = "0" * 64  # what the first record holds as the digest of the one before
PRUNED = "audit.pruned"


@dataclass(frozen=True, slots=True)
class Head:
    """The newest record that is known to have been there."""

    number: int
    digest: str


def digest_of(key: bytes, text: str) -> str:
    """The digest of a record's text, which holds the digest of the one before."""
    return hmac.new(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def record_of(text: str) -> AuditRecord:
    """A record from its text."""
    return msgspec.json.decode(text, type=AuditRecord)


def state_of(key: bytes, rows: Iterable[AuditRow], head: Head | None) -> AuditState:
    """Whether the rows, oldest first, are the whole log; the first thing that is wrong is its `problem`."""
    problem, count, size, oldest, before = "", 0, 0, None, None
    pruned: Head | None = None
    for row in rows:
        count, size, oldest = count + 1, size + len(row.text.encode()), oldest or row
        problem = problem or _fault(key, row, before, head)
        if not problem and (found := record_of(row.text)).act == PRUNED and isinstance(found.after, dict):
            pruned = Head(int(found.after["through"]), str(found.after["digest"]))
        before = row
    problem = problem or _beginning(oldest, pruned) or _end(before, head)
    return AuditState(
        not problem,
        problem,
        count,
        oldest.number if oldest else 0,
        before.number if before else 0,
        before.digest if before else "",
        size,
    )


def _fault(key: bytes, row: AuditRow, before: AuditRow | None, head: Head | None) -> str:
    if before is not None and row.number != before.number + 1:
        return f"what was between the records {before.number} and {row.number} is missing"
    if not hmac.compare_digest(digest_of(key, row.text), row.digest):
        return f"record {row.number} was changed, or was not written by this installation"
    record = record_of(row.text)
    if record.number != row.number or (before is not None and record.previous != before.digest):
        return f"record {row.number} does not follow on the one before"
    if head is not None and head.number == row.number and head.digest != row.digest:
        return f"record {row.number} is another one than the one that was there"
    return ""


def _beginning(oldest: AuditRow | None, pruned: Head | None) -> str:
    if oldest is None:
        return ""
    before = record_of(oldest.text).previous
    expected = pruned or Head(0, NOTHING)
    if (oldest.number - 1, before) != (expected.number, expected.digest):
        return f"what was before record {oldest.number} is missing"
    return ""


def _end(newest: AuditRow | None, head: Head | None) -> str:
    last = newest.number if newest else 0
    if head is None:
        return "the file audit-head is missing: what was cut off at the end can't be noticed" if newest else ""
    if head.number > last:
        return f"the newest records are missing: {last + 1} to {head.number}"
    return ""
