"""What came to sources that nothing verifies. It waits, wakes nobody, and is released or dropped by the operator."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Protocol

import structlog

from openclaw_nats.audit.act import Act
from openclaw_nats.audit.trail import Trail
from openclaw_nats.contract.sources import Quarantined, QuarantineRequest, Quarantines
from openclaw_nats.errors import InvalidInput, NotFound
from openclaw_nats.events import envelope
from openclaw_nats.events.envelope import format_time
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.origin import of_source
from openclaw_nats.outbound.ingest import Ingest
from openclaw_nats.sources.book import SourceBook
from openclaw_nats.sources.making import event_of
from openclaw_nats.sources.schemes.catalog import UNSIGNED
from openclaw_nats.sources.schemes.scheme import Received, Refused
from openclaw_nats.sources.stored import StoredSource

log = structlog.get_logger(__name__)

_SHOWN = 500  # characters of a body in a list
_PEER = "Openclaw-Nats-Peer"
_KIND = "Content-Type"


class QuarantineStore(Protocol):
    """Where it waits (jetstream/quarantine_store.py)."""

    async def put(self, source: str, number: str, body: bytes, headers: dict[str, str]) -> tuple[int, bool]:
        """Store a request under an id; (its sequence, whether it was there already)."""

    async def one(self, sequence: int) -> StoredMessage | None:
        """One that waits; None without it."""

    def every(self, source: str = "*", limit: int | None = None) -> AsyncIterator[StoredMessage]:
        """What waits, or the newest so many, oldest first."""

    async def counts(self) -> dict[str, int]:
        """How many wait, by source."""

    async def remove(self, sequence: int) -> bool:
        """It waits no more; False when there is none."""

    async def clear(self, source: str) -> int:
        """Nothing of a source waits any more; how many did."""


class Quarantine:
    """Puts requests there, and takes them out."""

    def __init__(self, store: QuarantineStore, book: SourceBook, ingest: Ingest, trail: Trail) -> None:
        self._store = store
        self._book = book
        self._ingest = ingest
        self._trail = trail

    async def put(self, source: StoredSource, received: Received, peer: str) -> tuple[int, bool]:
        """Store a request; (its number, whether the same came a moment ago). Raises Unavailable."""
        digest = hashlib.sha256(received.body).hexdigest()[:32]
        headers = {_PEER: _one_line(peer), _KIND: _one_line(received.headers.get("content-type", ""))}
        return await self._store.put(source.name, f"{source.name}:{digest}", received.body, headers)

    async def every(self, source: str, limit: int) -> Quarantines:
        """The newest that wait, of one source or all."""
        if source:
            self._book.named(source)
        found = [_shown(one) async for one in self._store.every(source or "*", limit)]
        return Quarantines(found[::-1], await self._store.counts())

    async def one(self, number: int) -> Quarantined:
        """One of them, whole; raise NotFound."""
        return _shown(await self._message(number), whole=True)

    async def release(self, wanted: QuarantineRequest) -> list[str]:
        """Store what is wanted as events of its source; their subjects. One that was released already is no second
        event.
        """
        subjects: list[str] = []
        try:
            for message in await self._wanted(wanted):
                if (subject := await self._released(message, alone=bool(wanted.number))) is not None:
                    subjects.append(subject)
        finally:
            await self._noted("quarantine.release", wanted, len(subjects))
        return subjects

    async def _released(self, message: StoredMessage, *, alone: bool) -> str | None:
        """The subject of the event that it becomes; None for one of several that is none, which stays."""
        source = self._book.named(_source(message))
        try:
            event, document = _event(source, message)
        except (Refused, InvalidInput, ValueError) as error:
            if alone:
                raise InvalidInput(f"request {message.sequence} is no event: {error}") from None
            return None
        origin = of_source(source.name)
        outcome = await self._ingest.ingest([document], message.time / 1e9, lambda subject: origin)
        if outcome.rejected:
            raise outcome.rejected[0][1]
        await self._store.remove(message.sequence)
        return event.subject

    async def clear(self, source: str) -> int:
        """Nothing of a source waits any more; how many did."""
        return await self._store.clear(source)

    async def drop(self, wanted: QuarantineRequest) -> int:
        """Forget what is wanted; how many."""
        if wanted.number:
            await self._message(wanted.number)
            count = int(await self._store.remove(wanted.number))
        else:
            count = await self._store.clear(self._book.named(wanted.source).name)
        await self._noted("quarantine.drop", wanted, count)
        return count

    async def counts(self) -> dict[str, int]:
        """How many wait, by source."""
        return await self._store.counts()

    async def waiting(self) -> int | None:
        """How many wait in all; None, and NATS is not asked, where no source puts any there. Raises Unavailable."""
        if not any(source.type == UNSIGNED for source in self._book.every()):
            return None
        return sum((await self._store.counts()).values())

    async def _noted(self, what: str, wanted: QuarantineRequest, count: int) -> None:
        about = wanted.source or str(wanted.number)
        async with self._trail.around(Act(what, about, after={"requests": count})):
            log.info(what, about=about, requests=count)

    async def _wanted(self, wanted: QuarantineRequest) -> list[StoredMessage]:
        if wanted.number:
            return [await self._message(wanted.number)]
        if not wanted.source:
            raise InvalidInput("say which: a number, or a source", field="number")
        return [one async for one in self._store.every(self._book.named(wanted.source).name)]

    async def _message(self, number: int) -> StoredMessage:
        if (found := await self._store.one(number)) is not None:
            return found
        raise NotFound(f"nothing waits in quarantine as {number}", hint="`openclaw-nats quarantine` lists what does.")


def _source(message: StoredMessage) -> str:
    return message.subject.removeprefix("agent.quarantine.")


def _shown(message: StoredMessage, *, whole: bool = False) -> Quarantined:
    text = message.body.decode("utf-8", "replace")
    return Quarantined(
        number=message.sequence,
        source=_source(message),
        at=format_time(message.time // 1_000_000),
        bytes=len(message.body),
        content_type=message.headers.get(_KIND, ""),
        peer=message.headers.get(_PEER, ""),
        body=text if whole else text[:_SHOWN],
    )


def _event(source: StoredSource, message: StoredMessage) -> tuple[envelope.Event, bytes]:
    received = Received({"content-type": message.headers.get(_KIND, "")}, message.body)
    name, number = received.text("event") or received.text("type"), f"{source.name}:q{message.sequence}"
    return event_of(source, received, UNSIGNED, name, number, message.time // 1_000_000)


def _one_line(text: str) -> str:
    """What a header of NATS may hold."""
    return "".join(one if one.isascii() and one.isprintable() else "?" for one in text)[:200]
