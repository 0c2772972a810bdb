"""Which stream it is that answers under the name: the same as before, another one, or the same put back.

A stream that was made again says so by its `created`. One that was put back to an earlier state does not: its store was
replaced by an older copy, a snapshot was restored, or a power cut took its last messages. It gives sequences that we
know to new messages. So the newest message that was seen is kept as a mark; where another one stands in its place, or
none is there yet, the stream was put back, and everything that was stored after the mark's time is new.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from openclaw_nats.jetstream.connection import Connection
from openclaw_nats.jetstream.reading import message_of, nanoseconds
from openclaw_nats.jetstream.streams import EVENTS
from openclaw_nats.ports import Mark, Position, Positions

log = structlog.get_logger(__name__)


class Incarnations:
    """Knows the events stream again; `doubt` makes it look closely the next time."""

    def __init__(self, connection: Connection, positions: Positions) -> None:
        self._connection = connection
        self._positions = positions
        self._lock = asyncio.Lock()
        self._mark: Mark | None = None
        self._epoch = -1

    def doubt(self) -> None:
        """The stream may be another one from now on."""
        self._epoch = -1

    async def of(self, info: dict[str, Any]) -> tuple[str, int, float]:
        """From an answer of STREAM.INFO: the incarnation's name, and `kept` and `since` as in Standing.

        Raises Unavailable when the stream can't be asked or the mark can't be kept.
        """
        async with self._lock:
            epoch = self._connection.epoch
            mark = self._mark or await self._positions.mark()
            found, position = await self._compare(info, mark, closely=self._epoch != epoch)
            if found != mark:
                await self._positions.keep_mark(found, position)
            self._mark, self._epoch = found, epoch
        return _name(found), found.kept, found.since / 1e9

    async def _compare(self, info: dict[str, Any], mark: Mark | None, *, closely: bool) -> tuple[Mark, Position | None]:
        """The mark of the stream as it is now, and the position that holds in it when it was put back."""
        created, state = str(info["created"]), info["state"]
        last, at = int(state["last_seq"]), nanoseconds(str(state.get("last_ts", "")))
        if mark is None:
            return Mark(created, 0, last, at, 0, nanoseconds(created)), None
        if created != mark.created:
            # One that was made after the mark is all new; an older one was restored, or is another NATS' stream.
            kept = 0 if nanoseconds(created) > mark.time else await self._last_before(mark.time, state)
            return Mark(created, 0, last, at, kept, nanoseconds(created) if not kept else mark.time), None
        if last >= mark.sequence and not (closely and await self._is_another(mark)):
            return Mark(created, mark.generation, last, at, mark.kept, mark.since), None
        kept = await self._last_before(mark.time, state)
        found = Mark(created, mark.generation + 1, last, at, kept, mark.time)
        log.warning("stream.put_back", stream=EVENTS, seen=mark.sequence, kept=kept, last=last)
        before = await self._positions.load()
        if before is None or before.stream != _name(mark):
            return found, None
        return found, Position(_name(found), before.filters, min(before.handled, kept))

    async def _is_another(self, mark: Mark) -> bool:
        """Whether another message stands where the mark was. One that is gone says nothing."""
        message = await message_of(self._connection, EVENTS, {"seq": mark.sequence}) if mark.sequence else None
        return message is not None and nanoseconds(message["time"]) != mark.time

    async def _last_before(self, time: int, state: dict[str, Any]) -> int:
        """The last sequence that was stored up to a time (nanoseconds since the Unix epoch)."""
        low, high = int(state["first_seq"]), int(state["last_seq"]) + 1
        while low < high:
            middle = (low + high) // 2
            message = await message_of(self._connection, EVENTS, {"seq": middle, "next_by_subj": ">"})
            if message is None or nanoseconds(message["time"]) > time:
                high = middle
            else:
                low = int(message["seq"]) + 1
        return low - 1


def _name(mark: Mark) -> str:
    """The name of an incarnation: in another one sequences are others."""
    return f"{mark.created}#{mark.generation}" if mark.generation else mark.created
