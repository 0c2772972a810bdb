"""The certificate put together: its key and its newest digest are files beside the database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from openclaw_nats.ports import StreamView
from openclaw_nats.reconcile.book import Book
from openclaw_nats.reconcile.certificates import Certificates
from openclaw_nats.service.head_file import DigestFile
from openclaw_nats.service.identity_key import secret_key
from openclaw_nats.storage.database import Database

KEY = "verify-key"
HEAD = "verify-head"


def build_certificates(home: Path, database: Database, stream: StreamView, waiting: Callable[[], int]) -> Certificates:
    """The certificates of an installation; the key is made at the first start."""
    key = secret_key(home, KEY, "what was recorded before then counts as changed")
    book = Book(database, key, DigestFile(home / HEAD))
    book.follow()
    return Certificates(database, book, stream, waiting)
