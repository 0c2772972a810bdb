"""Reading a stream from one place to another: whole, or with an error; never short and well.

Where a read ends is asked of the stream's leader before it begins: the sequence of the last message on the subject.
Silence is no end (a lost packet, a machine that stands still), nor is "nothing more" of a replica that lags behind.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from nats.errors import Error as NatsError

from openclaw_nats.errors import Unavailable, words_for
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.jetstream.client import SturdyClient
from openclaw_nats.jetstream.connection import Connection, checked
from openclaw_nats.jetstream.reader import BATCH, SILENCE_SECONDS, Lost, Reader

_NO_MESSAGE = 10037
_NEAR = 100  # sequences of the stream that are looked at for one message
_PAUSE = 0.1
_MOST_REOPENED = 5


async def message_of(connection: Connection, stream: str, which: dict[str, Any]) -> dict[str, Any] | None:
    """One message as STREAM.MSG.GET tells it, picked as that request takes it; None when there is none."""
    answer = await connection.api(f"STREAM.MSG.GET.{stream}", which)
    if answer.get("error", {}).get("err_code") == _NO_MESSAGE:
        return None
    found: dict[str, Any] = checked(answer)["message"]
    return found


def stored_of(found: dict[str, Any]) -> StoredMessage:
    """What `message_of` gave, as a message of a reader; nothing of it is believed before its seal was checked."""
    raw = base64.b64decode(found.get("hdrs", ""))
    return StoredMessage(
        sequence=int(found["seq"]),
        subject=str(found["subject"]),
        headers=SturdyClient._parse_header_lines(raw.partition(b"\r\n")[2]),
        body=base64.b64decode(found.get("data", "")),
        time=nanoseconds(str(found["time"])),
        pending=0,
        believed=False,
    )


def nanoseconds(text: str) -> int:
    """A time as nats-server writes it (RFC 3339, UTC) in nanoseconds since the Unix epoch; 0 when it is none."""
    head, _, rest = text.removesuffix("Z").partition(".")
    try:
        seconds = int(datetime.fromisoformat(f"{head}+00:00").timestamp())
        return max(0, seconds * 1_000_000_000 + int(f"{rest}000000000"[:9]))
    except ValueError:
        return 0


async def last_on(connection: Connection, stream: str, subject: str) -> StoredMessage | None:
    """The newest message on a subject pattern, as the stream's leader has it; None when there is none."""
    message = await message_of(connection, stream, {"last_by_subj": subject})
    return None if message is None else stored_of(message)


async def newest_on(connection: Connection, stream: str, subject: str, count: int) -> AsyncIterator[StoredMessage]:
    """Up to `count` of the newest messages on a subject pattern, oldest first: those that lie near the newest one.

    It costs the same in a stream of any length, and so does not find all of them where few messages are on the pattern.
    """
    last = await last_on(connection, stream, subject)
    if last is None:
        return
    after = max(0, last.sequence - count * _NEAR)
    async for message in read_stream(connection, stream, subject, limit=count, after=after):
        if message is not None:
            yield message


async def read_stream(
    connection: Connection,
    stream: str,
    subject: str,
    *,
    since: float | None = None,
    limit: int | None = None,
    follow: bool = False,
    after: int = 0,
    bodies: bool = True,
    replaced: bool = False,
) -> AsyncIterator[StoredMessage | None]:
    """Yield the messages of a stream on a subject pattern; the contract is EventLog.read's.

    `replaced` is for a stream in which a message takes the place of the one before it on its subject: while it is
    read, what was in front of the reader may move behind the end; so it is read until nothing is left.
    """
    one = _Pass(connection, stream, subject, limit=limit, bodies=bodies)
    try:
        messages = one.follow(_start(since, after)) if follow else one.whole(since, after, replaced=replaced)
        async for message in messages:
            yield message
    except (NatsError, OSError) as error:
        raise Unavailable(f"the stream can't be read: {words_for(error)}") from error
    finally:
        await one.close()


class _Pass:
    """One read, by one reader after the other when one is lost."""

    def __init__(self, connection: Connection, stream: str, subject: str, *, limit: int | None, bodies: bool) -> None:
        self._connection = connection
        self._stream = stream
        self._subject = subject
        self._limit = limit
        self._bodies = bodies
        self._reader: Reader | None = None
        self._seen = 0
        self._lost = 0
        self._skip = 0
        self._started: dict[str, Any] = {}

    async def whole(self, since: float | None, after: int, *, replaced: bool) -> AsyncIterator[StoredMessage]:
        """Up to the last message that there is now."""
        last = await last_on(self._connection, self._stream, self._subject)
        if last is None or after >= last.sequence or self._limit == 0:
            return
        if not after and since is not None and last.time / 1e9 < since:
            return
        await self._begin(_start(since, after), last.sequence)
        progress = time.monotonic()
        while self._seen < last.sequence or replaced:
            found = await self._next(BATCH, wait=False)
            for message in found:
                if message.sequence <= last.sequence or replaced:
                    self._seen = message.sequence
                    if not self._skipped(message):
                        yield message
                elif self._seen < last.sequence:
                    return  # the last one is gone meanwhile, and this one is behind it
            if found:
                progress = time.monotonic()
                if found[-1].pending == 0 and found[-1].sequence >= last.sequence:
                    return
            elif await self._nothing_left():
                return
            elif time.monotonic() - progress > SILENCE_SECONDS:
                raise Unavailable(f"stream {self._stream} can't be read to its end now: a replica lags behind")
            else:
                await asyncio.sleep(_PAUSE)

    async def follow(self, start: dict[str, Any]) -> AsyncIterator[StoredMessage | None]:
        """All there is and all that comes; None now and then."""
        last = await last_on(self._connection, self._stream, self._subject)
        await self._begin(start, last.sequence if last else 0)
        while True:
            found = await self._next(BATCH, wait=True)
            for message in found:
                self._seen = message.sequence
                if not self._skipped(message):
                    yield message
            if not found:
                yield None

    async def close(self) -> None:
        """Leave nothing behind."""
        if self._reader is not None:
            await self._reader.close()

    async def _begin(self, start: dict[str, Any], last: int) -> None:
        """Open the first reader. For the newest few of a long stream, not everything before them is read too."""
        limit = self._limit
        if limit is None:
            await self._open(start)
            return
        near = not start and last > limit
        pending = await self._open(_start(None, last - limit) if near else start)
        if near and pending < limit:  # not all of the newest messages are on the subject
            await self.close()
            pending = await self._open(start)
        self._skip = max(0, pending - limit)

    async def _open(self, start: dict[str, Any]) -> int:
        self._started = start
        self._reader = Reader(self._connection, self._stream, self._subject, bodies=self._bodies)
        return await self._reader.open(start)

    async def _next(self, most: int, *, wait: bool) -> list[StoredMessage]:
        if self._reader is None:
            raise Unavailable("the stream is not open")
        try:
            found = await self._reader.next(most, wait=wait)
        except Lost as error:
            self._lost += 1
            if self._lost > _MOST_REOPENED:
                raise Unavailable(f"stream {self._stream} can't be read: {error}, again and again") from error
            await self._reader.close()
            await self._open(self._again())
            return []
        if found:
            self._lost = 0
        return found

    def _again(self) -> dict[str, Any]:
        """Where to go on: behind what was seen, or once more from the place at which a read of nothing yet began."""
        return _start(None, self._seen) if self._seen else self._started

    def _skipped(self, message: StoredMessage) -> bool:
        """Whether a message is older than the newest few that are wanted; some may have gone while we read."""
        if not self._skip or (self._limit is not None and message.pending < self._limit):
            return False
        self._skip -= 1
        return True

    async def _nothing_left(self) -> bool:
        """The reader's server has no more for us. Is that so, or is it a replica that lags behind?"""
        last = await last_on(self._connection, self._stream, self._subject)
        return last is None or last.sequence <= self._seen


def _start(since: float | None, after: int) -> dict[str, Any]:
    """Where a reader begins, as part of its consumer's configuration; empty for the first message."""
    if after > 0:
        return {"deliver_policy": "by_start_sequence", "opt_start_seq": after + 1}
    if since is None:
        return {}
    since = max(0.0, since)  # Go, which the server is written in, reads no year before 0
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since)) + f"{since % 1:.6f}"[1:] + "Z"
    return {"deliver_policy": "by_start_time", "opt_start_time": moment}
