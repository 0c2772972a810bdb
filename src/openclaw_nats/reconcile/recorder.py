"""Recording what the stream holds: every minute what came since, and for each day (UTC) that is over its record.

What is killed in between is repeated from the last link that was committed: no event is in two links.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import msgspec

from openclaw_nats.contract.verify import CertifiedDay, KindCount
from openclaw_nats.errors import InvalidInput
from openclaw_nats.events import envelope
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.origin import GATEWAY
from openclaw_nats.events.subjects import PREFIX
from openclaw_nats.ports import StreamFacts, StreamView
from openclaw_nats.reconcile.book import Book
from openclaw_nats.reconcile.chain import (
    EMPTY,
    ENTRY,
    MOST_ENTRIES,
    NOTHING,
    EventsRecord,
    StreamRecord,
    entry_of,
    link,
)
from openclaw_nats.storage import certificate as rows
from openclaw_nats.storage.certificate import LinkRow
from openclaw_nats.storage.database import Connection

OVERFLOW = f"{PREFIX}spool.overflow"
MOST_LINKS = 20_000
_OUTLIVED_SECONDS = 86400.0  # a day's links stay so long after its events have expired
_MOST_KINDS = 200  # words behind agent.events. that are counted by themselves; anybody may publish on new ones
_LONGEST_KIND = 60
_MOST_DAYS = 400
_MOST_LOST = 1 << 53
OTHER = "(other)"


@dataclass
class Piece:
    """Neighbouring sequences that become one link."""

    first: int
    day: str
    entries: bytearray = field(default_factory=bytearray)
    kinds: Counter[str] = field(default_factory=Counter)
    newest: float = 0.0
    stored: int = 0
    gateway: int = 0
    lost: int = 0

    @property
    def following(self) -> int:
        """The sequence behind it."""
        return self.first + len(self.entries) // ENTRY

    def fits(self, sequence: int, day: str) -> bool:
        """Whether an event can still be added."""
        return day == self.day and sequence - self.first < MOST_ENTRIES

    def add(self, key: bytes, message: StoredMessage) -> None:
        """One more event."""
        self.entries += EMPTY * (message.sequence - self.following) + entry_of(key, message)
        self.newest = message.time / 1e9
        self.stored += 1
        kind = message.subject.removeprefix(PREFIX).partition(".")[0][:_LONGEST_KIND]
        self.kinds[kind if kind in self.kinds or len(self.kinds) < _MOST_KINDS else OTHER] += 1
        if message.believed and message.origin == GATEWAY:
            self.gateway += 1
            self.lost += lost_by(message)

    def row(self, key: bytes, stream: str, number: int, previous: str) -> LinkRow:
        """Its link."""
        last = self.following - 1
        record = EventsRecord(
            number=number,
            previous=previous,
            stream=stream,
            day=self.day,
            stored=self.stored,
            gateway=self.gateway,
            lost=self.lost,
            kinds=dict(sorted(self.kinds.items())),
        )
        return link(key, "events", record, bytes(self.entries), (self.first, last, self.newest))


def lost_by(message: StoredMessage) -> int:
    """How many events the plugin's spool says that it has lost, in an event of its own."""
    if message.subject != OVERFLOW:
        return 0
    try:
        found = msgspec.json.decode(bytes(envelope.decode(message.body).data))
    except (InvalidInput, msgspec.MsgspecError):
        return 0
    lost = found.get("dropped") if isinstance(found, dict) else None
    return lost if type(lost) is int and 0 < lost < _MOST_LOST else 0


def _day_in(row: LinkRow) -> str:
    """The day of a link of events."""
    return msgspec.json.decode(row.record, type=EventsRecord).day


def _following(row: LinkRow) -> date:
    """The day after the one of a day's record."""
    return date.fromisoformat(msgspec.json.decode(row.record, type=CertifiedDay).day) + timedelta(days=1)


def day_of(seconds: float) -> str:
    """The day (UTC) of a moment."""
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


class Recorder:
    """Writes the links. One at a time: `lock` is held while it does."""

    def __init__(self, book: Book, stream: StreamView) -> None:
        self._book = book
        self._stream = stream
        self.lock = asyncio.Lock()

    async def record(self) -> StreamFacts:
        """Record what came since the last time, then the days that are over; how the stream was at the beginning.

        Raises Unavailable; what was recorded until then stays.
        """
        async with self.lock:
            facts = await self._stream.facts()
            after = await self._place(facts)
            if facts.last > after:
                await self._record_after(after, facts.created)
            await self._end_days(facts)
            age = facts.now - facts.max_age - _OUTLIVED_SECONDS if facts.max_age else 0.0
            await self._book.prune(age, MOST_LINKS)
            return facts

    async def _place(self, facts: StreamFacts) -> int:
        """The last sequence that is recorded; for a stream that is another one now, a link says so first."""
        newest = await self._book.newest("events")
        marked = await self._book.newest("stream")
        if newest is None and marked is None:
            return max(0, facts.first - 1)
        known = msgspec.json.decode(marked.record, type=StreamRecord) if marked is not None else None
        if newest is not None and (known is None or marked is None or newest.number > marked.number):
            created, last = msgspec.json.decode(newest.record, type=EventsRecord).stream, newest.last
        else:
            assert known is not None  # noqa: S101  (there is one of the two)
            created, last = known.stream, known.base
        if created == facts.created and facts.last >= last:
            return last
        continues = newest is not None and facts.last >= last and await self._still_holds(newest)
        base = last if continues else max(0, facts.first - 1)

        def make(db: Connection, number: int, previous: str) -> list[LinkRow]:
            before = rows.newest(db, "events")
            record = StreamRecord(
                number=number,
                previous=previous,
                stream=facts.created,
                continues=continues,
                base=base,
                last=before.last if before is not None else 0,
                at=facts.now,
            )
            return [link(self._book.key, "stream", record)]

        await self._book.add(make)
        return base

    async def _still_holds(self, newest: LinkRow) -> bool:
        """Whether the newest recorded event is where it was: then a backup was restored into a new stream."""
        async for message in self._stream.read(newest.last - 1):
            return message.sequence == newest.last and entry_of(self._book.key, message) == newest.entries[-ENTRY:]
        return False

    async def _record_after(self, after: int, created: str) -> None:
        newest, ended = await self._book.newest("events"), await self._book.newest("day")
        days = [_day_in(newest)] if newest is not None else []
        day = max([*days, *([_following(ended).isoformat()] if ended is not None else [])], default="")
        piece: Piece | None = None
        async for message in self._stream.read(after):
            day = max(day, day_of(message.time / 1e9))  # days only go on, also when the server's clock went back
            if piece is not None and not piece.fits(message.sequence, day):
                await self._add(piece, created)
                piece = None
            if piece is None:
                piece = Piece(message.sequence, day)
            piece.add(self._book.key, message)
        if piece is not None:
            await self._add(piece, created)

    async def _add(self, piece: Piece, created: str) -> None:
        def make(db: Connection, number: int, previous: str) -> list[LinkRow]:
            days = self._days(db, piece.day, number, previous)
            if days:
                number, previous = days[-1].number + 1, days[-1].digest
            return [*days, piece.row(self._book.key, created, number, previous)]

        await self._book.add(make)

    async def _end_days(self, facts: StreamFacts) -> None:
        today = day_of(facts.now)
        await self._book.add(lambda db, number, previous: self._days(db, today, number, previous))

    def _days(self, db: Connection, before: str, number: int, previous: str) -> list[LinkRow]:
        """The records of the days that are over, up to the one before a day."""
        last, end = rows.newest(db, "day"), date.fromisoformat(before)
        since = last.number if last is not None else 0
        oldest = rows.events_after(db, since, 1)
        found = [date.fromisoformat(_day_in(row)) for row in oldest]
        if last is not None:  # a machine that was off for years gets no record for each day of them
            begin = max(_following(last), min([end - timedelta(days=_MOST_DAYS), *found]))
        elif found:
            begin = found[0]
        else:
            return []
        if begin >= end:
            return []
        pieces = [(one, msgspec.json.decode(one.record, type=EventsRecord)) for one in rows.events_after(db, since)]
        made: list[LinkRow] = []
        day_before = last.digest if last is not None else NOTHING
        while begin < end:
            name = begin.isoformat()
            mine = [pair for pair in pieces if pair[1].day == name]
            row = self._day(name, mine, number, previous, day_before)
            made.append(row)
            number, previous, day_before = number + 1, row.digest, row.digest
            begin += timedelta(days=1)
        return made

    def _day(
        self, day: str, mine: list[tuple[LinkRow, EventsRecord]], number: int, previous: str, day_before: str
    ) -> LinkRow:
        first, last = (mine[0][0].first, mine[-1][0].last) if mine else (0, 0)
        ends = datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() + 86400
        newest = max([ends, *(row.newest for row, _ in mine)])
        kinds: Counter[str] = Counter()
        for _, one in mine:
            kinds.update(one.kinds)
        record = CertifiedDay(
            number=number,
            day=day,
            at=format_seconds(ends),
            first=first,
            last=last,
            stored=sum(one.stored for _, one in mine),
            from_gateway=sum(one.gateway for _, one in mine),
            lost=sum(one.lost for _, one in mine),
            kinds=counted(kinds),
            previous=previous,
            day_before=day_before,
        )
        return link(self._book.key, "day", record, b"", (first, last, newest))


def counted(kinds: Counter[str]) -> list[KindCount]:
    """Counts by kind, in order of their names; what is too much is counted together."""
    kept = Counter(dict(kinds.most_common(_MOST_KINDS)))
    if rest := sum(kinds.values()) - sum(kept.values()):
        kept[OTHER] += rest
    return [KindCount(kind, count) for kind, count in sorted(kept.items())]
