"""The documents of events that were just taken in, so that delivering them needs no reading; bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from openclaw_nats.storage import inbox
from openclaw_nats.storage.database import Database

_MAX_BYTES = 16 << 20


class Documents:
    """Documents by place: from memory when they are new, else from the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    def keep(self, place: str, document: bytes) -> None:
        """Remember a document that is in the database already."""
        if place in self._kept:
            return
        self._kept[place] = document
        self._bytes += len(document)
        while self._bytes > _MAX_BYTES:
            self._bytes -= len(self._kept.popitem(last=False)[1])

    async def get(self, places: Iterable[str]) -> dict[str, bytes]:
        """The documents by place; one that was purged is missing."""
        wanted = list(places)
        found = {one: self._kept[one] for one in wanted if one in self._kept}
        missing = [one for one in wanted if one not in found]
        if missing:
            found |= await self._database.read(lambda db: inbox.documents(db, missing))
        return found
