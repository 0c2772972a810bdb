"""How far this Gateway's consumer is, in the database: what a deleted consumer or a new machine goes on from."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
import structlog

from openclaw_nats.events.subjects import covers
from openclaw_nats.ports import EventSource, Mark, Position
from openclaw_nats.storage import inbox
from openclaw_nats.storage.database import Connection, Database

log = structlog.get_logger(__name__)

TAKEOVER_SECONDS = 3600.0
_POSITION = "consumer position"
_TAKEOVER = "consumer taken over"
_STREAM = "stream"
_MARK = "stream mark"


class SavedPositions:
    """The port Positions on the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self) -> Position | None:
        """See Positions.load."""
        text = await self._database.read(lambda db: inbox.fact(db, _POSITION))
        return msgspec.json.decode(text, type=Position) if text else None

    async def save(self, position: Position) -> None:
        """See Positions.save."""
        await self._database.write(lambda db: put(db, position))

    async def mark(self) -> Mark | None:
        """See Positions.mark."""
        text = await self._database.read(lambda db: inbox.fact(db, _MARK))
        return msgspec.json.decode(text, type=Mark) if text else None

    async def keep_mark(self, mark: Mark, position: Position | None = None) -> None:
        """See Positions.keep_mark."""

        def job(db: Connection) -> None:
            inbox.set_fact(db, _MARK, msgspec.json.encode(mark).decode())
            if position is not None:
                put(db, position)

        await self._database.write(job)


def put(db: Connection, position: Position) -> None:
    """Keep a position, as part of a transaction."""
    inbox.set_fact(db, _POSITION, msgspec.json.encode(position).decode())


class _Taken(msgspec.Struct):
    """What was found at the first look; `position` is None when there was nothing to take over."""

    at: float
    position: Position | None


class Takeover:
    """A new state directory under a name that has a consumer already: another machine worked under it.

    Routes that are made within an hour get what that machine had not seen, as far as its consumer was for them.
    """

    def __init__(self, database: Database, source: EventSource, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._source = source
        self._clock = clock
        self.note = ""

    async def load(self) -> None:
        """What was found before, by the process before this one."""
        text = await self._database.read(lambda db: inbox.fact(db, _TAKEOVER))
        if text:
            self._say(msgspec.json.decode(text, type=_Taken))

    async def after(self, pattern: str, last: int) -> int:
        """The sequence after which a new route on `pattern` wants events; `last` is the stream's last."""
        taken = await self._taken()
        if taken.position is None or not self._is_recent(taken):
            return last
        if not any(covers(filter_, pattern) for filter_ in taken.position.filters):
            return last
        return min(last, taken.position.handled)

    async def _taken(self) -> _Taken:
        text = await self._database.read(lambda db: inbox.fact(db, _TAKEOVER))
        if text:
            return msgspec.json.decode(text, type=_Taken)
        used = await self._database.read(lambda db: bool(inbox.fact(db, _STREAM) or inbox.fact(db, _POSITION)))
        position = None if used else (await self._source.standing()).position
        taken = _Taken(self._clock(), position)
        await self._database.write(lambda db: inbox.set_fact(db, _TAKEOVER, msgspec.json.encode(taken).decode()))
        if position is not None:
            log.warning("consumer.position_taken_over", handled=position.handled, filters=list(position.filters))
            self._say(taken)
        return taken

    def _is_recent(self, taken: _Taken) -> bool:
        """Within the hour. A time that is still to come is of a clock that was wrong: then the hour is over."""
        return 0 <= self._clock() - taken.at <= TAKEOVER_SECONDS

    def _say(self, taken: _Taken) -> None:
        if taken.position is not None and self._is_recent(taken):
            self.note = (
                f"another machine worked under this gateway.id, up to sequence {taken.position.handled}: routes that "
                "are made within an hour go on from there. What waited in its inbox is not here; a backup of it has it"
            )
