"""Comparing the stream with what was recorded of it: both are read once, side by side, whatever their size."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import msgspec
from msgspec import UNSET

from openclaw_nats.contract.verify import Certificate, Difference, DifferenceKind
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.ports import StreamFacts, StreamView
from openclaw_nats.reconcile.book import Book
from openclaw_nats.reconcile.chain import EMPTY, ENTRY, Chain, EventsRecord, StreamRecord, entry_of, stored_at
from openclaw_nats.reconcile.recorder import Recorder, counted
from openclaw_nats.storage.certificate import LinkRow

MOST_DIFFERENCES = 100
_MOST_GONE = 10_000  # what is behind them is counted with the last one
_TOLD_EVERY = 1000
_LATE_SECONDS = 5.0  # so far the server's clock and its sweep of old messages may be apart


@dataclass
class _Gone:
    """So many events between two sequences are not there although they are young enough; `stored`: the first one."""

    first: int
    last: int
    stored: float
    count: int = 1


@dataclass
class _Tally:
    """What is counted on the way."""

    checked: int = 0
    stored: int = 0
    gateway: int = 0
    lost: int = 0
    differing: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    expired: int = 0
    made_room: int = 0
    first: int = 0
    last: int = 0

    def differs(self, what: DifferenceKind, first: int, last: int, count: int, stored: float | None) -> None:
        """Note a difference; neighbours of one kind are one."""
        self.differing += count
        if self.differences and (before := self.differences[-1]).what == what and before.last + 1 == first:
            before.last = last
        elif len(self.differences) < MOST_DIFFERENCES:
            self.differences.append(Difference(what, first, last, UNSET if stored is None else format_seconds(stored)))


class Verifier:
    """Makes certificates; `progress` hears (checked, of how many) on the way, `waiting` says what the spool holds."""

    def __init__(self, book: Book, stream: StreamView, recorder: Recorder, waiting: Callable[[], int]) -> None:
        self._book = book
        self._stream = stream
        self._recorder = recorder
        self._waiting = waiting
        self.progress: Callable[[int, int], None] = lambda checked, total: None

    async def certificate(self, since: float | None, now: float) -> Certificate:
        """Record what is new, then compare everything that is recorded (from `since` on). Raises Unavailable."""
        began = time.monotonic()
        try:
            facts = await self._recorder.record()
        except msgspec.MsgspecError:  # somebody edited a record: the chain says which
            facts = await self._stream.facts()
        async with self._recorder.lock:  # nothing is removed from the chain while it is read
            chain, base, others = await self._survey(since)
            tally = await self._compare(facts, base, since)
        tally.differences = [*others, *tally.differences][:MOST_DIFFERENCES]
        tally.differing += sum(one.last - one.first + 1 for one in others)
        return Certificate(
            sound=not chain.problem and not tally.differing,
            problem=chain.problem,
            at=format_seconds(now),
            since=UNSET if since is None else format_seconds(since),
            stream=facts.created,
            first=tally.first,
            last=tally.last,
            checked=tally.checked,
            emitted=tally.gateway + tally.lost + self._waiting(),
            stored=tally.stored,
            from_gateway=tally.gateway,
            lost=tally.lost,
            waiting=self._waiting(),
            expired=tally.expired,
            made_room=tally.made_room,
            kinds=counted(tally.kinds),
            differences=tally.differences,
            differing=tally.differing,
            number=chain.newest.number,
            digest=chain.newest.digest,
            seconds=round(time.monotonic() - began, 2),
        )

    async def _links(self) -> AsyncIterator[LinkRow]:
        number = 0
        while found := await self._book.after(number):
            for row in found:
                yield row
            number = found[-1].number

    async def _survey(self, since: float | None) -> tuple[Chain, int, list[Difference]]:
        """The chain, the number of the last link that is about another stream, and what was replaced."""
        chain, base, first = self._book.chain(), 0, 0
        others: list[Difference] = []
        async for row in self._links():
            chain.take([row])
            if chain.problem:
                continue  # what follows is not to be believed, and only looked at for its end
            if row.kind == "events":
                first = first or row.first
            if row.kind == "stream":
                mark = msgspec.json.decode(row.record, type=StreamRecord)
                if not mark.continues:
                    base = row.number
                    if first and (since is None or mark.at >= since):
                        others.append(Difference("replaced", first, mark.last))
                    first = 0
        chain.end()
        return chain, base, others

    async def _compare(self, facts: StreamFacts, base: int, since: float | None) -> _Tally:
        pieces = self._pieces(base, since)
        piece = await anext(pieces, None)
        tally = _Tally(first=piece.first if piece is not None else 0)
        walk = _Walk(self._book.key, tally, facts)
        if piece is not None:
            async for message in self._stream.read(piece.first - 1):
                while piece is not None and piece.last < message.sequence:
                    walk.leave(piece)
                    piece = await anext(pieces, None)
                if piece is None:
                    break  # what came since it was recorded
                walk.meet(piece, message)
                if tally.checked % _TOLD_EVERY == 0:
                    self.progress(message.sequence - tally.first, facts.last - tally.first + 1)
        while piece is not None:
            walk.leave(piece)
            piece = await anext(pieces, None)
        walk.end(await self._stream.facts())
        return tally

    async def _pieces(self, base: int, since: float | None) -> AsyncIterator[LinkRow]:
        """The links of events that are about this stream and the time that is asked for."""
        async for row in self._links():
            wanted = row.kind == "events" and row.number > base and (since is None or row.newest >= since)
            if wanted and _is_whole(row):
                yield row


def _is_whole(row: LinkRow) -> bool:
    """Whether a link can be compared at all; if not, the chain says what is wrong with it."""
    return 0 < row.first <= row.last and len(row.entries) == (row.last - row.first + 1) * ENTRY


class _Walk:
    """Goes through the entries of links as the messages come."""

    def __init__(self, key: bytes, tally: _Tally, facts: StreamFacts) -> None:
        self._key = key
        self._tally = tally
        self._facts = facts
        self._began = time.monotonic()
        self._next = 0
        self._gone: list[_Gone] = []
        self._goes_on = False  # whether the newest of them had no message behind it yet

    def meet(self, piece: LinkRow, message: StoredMessage) -> None:
        """A message: is it the one that was recorded?"""
        sequence = message.sequence
        if sequence < piece.first:
            self._tally.differs("added", sequence, sequence, 1, message.time / 1e9)
            return
        self._miss_through(piece, sequence - 1)
        self._next, self._goes_on = sequence + 1, False
        recorded, found = _entry(piece, sequence), entry_of(self._key, message)
        if recorded == EMPTY == found:
            return
        self._tally.checked += 1
        if recorded == EMPTY:
            self._tally.differs("added", sequence, sequence, 1, message.time / 1e9)
        elif recorded != found:
            self._tally.differs("altered", sequence, sequence, 1, stored_at(recorded))

    def leave(self, piece: LinkRow) -> None:
        """No more messages come for a link."""
        self._miss_through(piece, piece.last)
        self._tally.last = piece.last
        try:
            found = msgspec.json.decode(piece.record, type=EventsRecord)
        except msgspec.MsgspecError:
            return  # the chain says so
        self._tally.stored += found.stored
        self._tally.gateway += found.gateway
        self._tally.lost += found.lost
        self._tally.kinds.update(found.kinds)

    def end(self, facts: StreamFacts) -> None:
        """What is gone at the beginning of a stream that is full has made room; all else was removed."""
        for one in self._gone:
            if one.last < facts.first and facts.is_full:
                self._tally.made_room += one.count
            else:
                self._tally.differs("removed", one.first, one.last, one.count, one.stored)
        self._tally.differences.sort(key=lambda one: one.first)

    def _miss_through(self, piece: LinkRow, last: int) -> None:
        """The sequences up to `last` have no message; those that had one are gone."""
        for sequence in range(max(self._next, piece.first), last + 1):
            recorded = _entry(piece, sequence)
            if recorded == EMPTY:
                continue
            self._tally.checked += 1
            at = stored_at(recorded)
            if self._is_over(at):
                self._tally.expired += 1
            elif self._gone and (self._goes_on or len(self._gone) >= _MOST_GONE):
                self._gone[-1].last, self._gone[-1].count = sequence, self._gone[-1].count + 1
            else:
                self._gone.append(_Gone(sequence, sequence, at))
                self._goes_on = True
        self._next = max(self._next, last + 1)

    def _is_over(self, stored: float) -> bool:
        """Whether the stream need not have an event any more by its age."""
        now = self._facts.now + time.monotonic() - self._began
        return self._facts.max_age > 0 and stored + self._facts.max_age <= now + _LATE_SECONDS


def _entry(piece: LinkRow, sequence: int) -> bytes:
    start = (sequence - piece.first) * ENTRY
    return piece.entries[start : start + ENTRY]
