"""The audit log's files beside the database: its key, and its newest digest."""

from __future__ import annotations

from pathlib import Path

from openclaw_nats.audit.trail import AuditTrail
from openclaw_nats.service.head_file import DigestFile
from openclaw_nats.service.identity_key import secret_key
from openclaw_nats.settings import Settings
from openclaw_nats.storage.database import Database

KEY = "audit-key"
HEAD = "audit-head"
_SHARE = 8  # the log takes at most an eighth of what the database may have


def audit_trail(settings: Settings, database: Database) -> AuditTrail:
    """The log of an installation; its key is made at the first start."""
    return trail_in(settings.home, database, settings.inbox.max_bytes // _SHARE)


def trail_in(home: Path, database: Database, max_bytes: int) -> AuditTrail:
    """A log whose key and newest digest are in a folder."""
    key = secret_key(home, KEY, "what was recorded before then counts as changed")
    return AuditTrail(database, key, DigestFile(home / HEAD), max_bytes=max_bytes)
