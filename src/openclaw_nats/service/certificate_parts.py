"""The certificate put together: its key and its newest digest are files beside the database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from openclaw_nats.ports import StreamView
from openclaw_nats.reconcile.book import Book
from openclaw_nats.reconcile.certificates import Certificates
from openclaw_nats.reconcile.chain import Head
from openclaw_nats.service.files import write_private
from openclaw_nats.service.identity_key import secret_key
from openclaw_nats.storage.database import Database

KEY = "verify-key"
HEAD = "verify-head"


class CertificateHead:
    """The file with the number and the digest of the newest link."""

    def __init__(self, home: Path) -> None:
        self._path = home / HEAD

    def read(self) -> Head | None:
        """See HeadFile; a file that can't be read is as good as none."""
        try:
            number, digest = self._path.read_text().split()
            return Head(int(number), digest)
        except (OSError, ValueError):
            return None

    def raise_to(self, head: Head) -> None:
        """See HeadFile."""
        known = self.read()
        if known is None or known.number < head.number:
            write_private(self._path, f"{head.number} {head.digest}\n")


def build_certificates(home: Path, database: Database, stream: StreamView, waiting: Callable[[], int]) -> Certificates:
    """The certificates of an installation; the key is made at the first start."""
    key = secret_key(home, KEY, "what was recorded before then counts as changed")
    book = Book(database, key, CertificateHead(home))
    book.follow()
    return Certificates(database, book, stream, waiting)
