"""The way of what watchers see into the stream.

An event is written down in the same commit as what its watcher then remembers; only after that it is sent, under an
id that it keeps. So a kill in between costs nothing: the watcher does not see it again, and it is sent again, looked
for in the stream, and stored once.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
import structlog

from openclaw_nats.backoff import wait_after
from openclaw_nats.errors import StreamConflict, Unavailable
from openclaw_nats.events import envelope, json_text
from openclaw_nats.events.origin import of_source
from openclaw_nats.outbound.ingest import Ingest
from openclaw_nats.sources.log import DoorLog
from openclaw_nats.sources.naming import subject_of
from openclaw_nats.sources.stored import StoredSource
from openclaw_nats.storage import watching as rows
from openclaw_nats.storage.database import Database

log = structlog.get_logger(__name__)

_BATCH = 100
_LONGEST_THING = 150
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0


@dataclass(frozen=True)
class Seen:
    """Something that a watcher has seen: the `event` that it is (`created`), what of (`thing`, an id), its data (any
    JSON), and what the watcher remembers of it.
    """

    event: str
    thing: str
    data: Mapping[str, Any]
    remember: Mapping[str, str | None] = field(default_factory=dict)


class Outbox:
    """Of all watchers. `waits(name, reason)` is called while events can't be stored, with no reason when they can."""

    def __init__(
        self,
        ingest: Ingest,
        database: Database,
        door_log: DoorLog,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ingest = ingest
        self._database = database
        self._log = door_log
        self._clock = clock
        self.waits: Callable[[str, str], None] = lambda name, reason: None

    async def items(self, name: str) -> dict[str, str]:
        """What a watcher remembers."""
        return await self._database.read(lambda db: rows.items(db, name))

    async def put(
        self,
        source: StoredSource,
        events: Sequence[Seen],
        changes: Mapping[str, str | None],
        fresh: Mapping[str, str] | None = None,
    ) -> None:
        """Write events down with what is remembered from now on (with `fresh` nothing else is), then store them.

        Returns when they are in the stream, however long that takes.
        """
        now = self._clock()
        written = [
            (
                one.event,
                one.thing,
                subject_of(source.subject, one.event),
                f"watch.{source.type}.{one.event}",
                _json(one.data),
                now,
            )
            for one in events
        ]

        def keep(db: Any) -> None:
            if fresh is not None:
                rows.forget_items(db, source.name)
            rows.keep(db, source.name, {**(fresh or {}), **changes}, written)

        await self._patiently(source.name, lambda: self._database.write(keep))
        if events:
            await self.send(source)

    async def send(self, source: StoredSource) -> None:
        """Store what was written down. Returns when all of it is in the stream."""
        while found := await self._database.read(lambda db: rows.waiting(db, source.name, _BATCH)):
            await self._patiently(source.name, partial(self._store, source, found))

    async def forget(self, name: str) -> None:
        """The source is gone."""
        await self._database.write(lambda db: rows.forget(db, name))

    async def forget_others(self, names: Sequence[str]) -> None:
        """Only these sources are there; what was left of others goes."""
        await self._database.write(lambda db: rows.forget_others(db, names))

    async def _patiently(self, name: str, work: Callable[[], Any]) -> None:
        failures = 0
        while True:
            try:
                await work()
            except (Unavailable, StreamConflict) as error:
                self.waits(name, f"its events can't be stored: {error}")
                await asyncio.sleep(wait_after(failures, _FIRST_WAIT, _LONGEST_WAIT))
                failures += 1
                continue
            if failures:
                self.waits(name, "")
            return

    async def _store(self, source: StoredSource, found: list[rows.WatchEvent]) -> None:
        origin = of_source(source.name)
        documents = [_document(source, one) for one in found]
        outcome = await self._ingest.ingest(documents, min(one.at for one in found), lambda subject: origin)
        rejected = {index: error for index, error in outcome.rejected}
        await self._database.write(lambda db: rows.arrived(db, [one.number for one in found]))
        for index, one in enumerate(found):
            if (error := rejected.get(index)) is not None:
                log.warning("watch.no_event", source=source.name, thing=one.thing[:100], error=str(error))
            self._log.note(
                source.name,
                422 if error is not None else 202,
                reason="" if error is None else str(error),
                event=one.subject,
                delivery=one.thing,
                size=len(one.data),
            )


def _document(source: StoredSource, one: rows.WatchEvent) -> bytes:
    thing = one.thing
    if len(thing.encode("utf-8", "replace")) > _LONGEST_THING or not thing.isprintable() or thing != thing.strip():
        thing = ""
    made = {
        "specversion": "1.0",
        "id": f"{source.name}:{thing}-{one.number}" if thing else f"{source.name}:{one.number}",
        "source": f"watch/{source.name}",
        "type": one.type,
        "time": envelope.format_time(int(one.at * 1000)),
        "subject": one.subject,
        "data": msgspec.Raw(one.data),
    }
    return msgspec.json.encode(made)


def _json(data: Mapping[str, Any]) -> bytes:
    """Data as JSON that everybody reads: half characters of foreign texts become U+FFFD."""
    return json_text.well_formed(json.dumps(data, allow_nan=False).encode())
