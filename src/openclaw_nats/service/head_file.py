"""The newest digest of a chain, in a file next to the database: the port HeadFile."""

from __future__ import annotations

from pathlib import Path

from openclaw_nats.audit.chain import Head
from openclaw_nats.service.files import write_private


class DigestFile:
    """The file with the number and the digest of a chain's newest record."""

    def __init__(self, path: Path) -> None:
        self._path = path

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
