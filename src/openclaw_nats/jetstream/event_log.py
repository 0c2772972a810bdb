"""The events stream as an append-only log: atomic batches in, ordered reading out.

Wire facts (nats-server 2.15.1; ADR-50 of the NATS architecture): a batch is up to 1000 messages with the headers
`Nats-Batch-Id` and `Nats-Batch-Sequence`, the last one with `Nats-Batch-Commit: 1`; its acknowledgement carries the
last sequence and the count. One duplicate id rejects the whole batch (error 10201), then each message goes alone.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from openclaw_nats.errors import InvalidInput, NoAnswer, TooLarge, Unavailable, words_for
from openclaw_nats.events import envelope
from openclaw_nats.events.ids import uuid7
from openclaw_nats.events.messages import Message, Stored, StoredMessage
from openclaw_nats.events.seals import SEAL, Seals
from openclaw_nats.events.subjects import EVERYTHING
from openclaw_nats.jetstream.connection import Connection, parse_reply
from openclaw_nats.jetstream.reading import message_of, newest_on, read_stream, stored_of
from openclaw_nats.jetstream.streams import EVENTS, Streams

log = structlog.get_logger(__name__)

MAX_BATCH = 1000
# A batch costs about 3 ms however small it is, a pipelined message 0.2 ms (nats-server 2.15.1, sync_interval always,
# fsync 0.2 ms): below this many, messages go one by one without waiting for each other.
_BATCH_FROM = 12
HEADER_ROOM = 1024
_PIPELINE = 256
_AT_ONCE = 64
_STALLED_AFTER = 2
_MOST_THEFTS = 3
FAILED_SECONDS = 60.0
_MESSAGE_TOO_LARGE = 10054
MAY_BE_STORED = (
    "It may have been stored all the same. Repeat it with the same id, which is stored once; if it had none, look "
    "first (`openclaw-nats events`)."
)


class JetStreamEventLog:
    """The port EventLog on a JetStream stream."""

    def __init__(self, connection: Connection, streams: Streams) -> None:
        self._connection = connection
        self._streams = streams
        self._failed = (0.0, "")
        self.unanswered = 0

    @property
    def problem(self) -> str:
        """Why events could not be stored the last time, if that was within FAILED_SECONDS; empty when they were.

        After that nobody has tried any more, and it is not known.
        """
        at, error = self._failed
        return error if error and time.monotonic() - at < FAILED_SECONDS else ""

    @property
    def stalled(self) -> bool:
        """Whether JetStream keeps still although it is connected. It does after a full disk, until it is restarted."""
        return self.unanswered >= _STALLED_AFTER

    @property
    def max_body(self) -> int:
        """The largest body in bytes that the server can store, with room left for our headers."""
        return self._connection.max_payload - HEADER_ROOM

    async def append(self, messages: Sequence[Message]) -> list[Stored | InvalidInput]:
        """Store messages in order; see EventLog.append. A message that can't ever be stored gets its InvalidInput."""
        if not self._connection.ready:
            raise self._connection.not_ready(self._streams.problem)
        limit = self.max_body
        sent = [message for message in messages if len(message.body) <= limit]
        stored: list[Stored | InvalidInput] = []
        for start in range(0, len(sent), MAX_BATCH):
            try:
                stored += await self._append(sent[start : start + MAX_BATCH])
            except Unavailable as error:
                self._failed = (time.monotonic(), str(error))
                self.unanswered += isinstance(error, NoAnswer)
                error.unknown = error.unknown or start > 0
                if error.unknown:
                    error.hint = MAY_BE_STORED
                raise
            self.unanswered, self._failed = 0, (0.0, "")
        if len(sent) == len(messages):
            return stored
        results = iter(stored)
        return [
            next(results)
            if len(message.body) <= limit
            else TooLarge(f"the event is {len(message.body)} bytes long; NATS takes {limit}")
            for message in messages
        ]

    async def _append(self, messages: Sequence[Message]) -> list[Stored | InvalidInput]:
        if self._streams.atomic and len(messages) >= _BATCH_FROM:
            stored = await self._append_batch(messages)
            if stored is not None:
                return stored
        return await self._append_singly(messages)

    async def _append_batch(self, messages: Sequence[Message]) -> list[Stored | InvalidInput] | None:
        batch = uuid7(int(time.time() * 1000))
        client = self._connection.client
        last = len(messages)
        try:
            for position, message in enumerate(messages[:-1], 1):
                headers = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(position), **_headers(message)}
                await client.publish(message.subject, message.body, headers=headers)
        except (NatsError, OSError) as error:
            raise Unavailable(f"NATS did not take a batch: {words_for(error)}") from error
        headers = {
            "Nats-Batch-Id": batch,
            "Nats-Batch-Sequence": str(last),
            "Nats-Batch-Commit": "1",
            **_headers(messages[-1]),
        }
        answer = parse_reply(await self._connection.request(messages[-1].subject, messages[-1].body, headers))
        if "error" in answer:
            if answer["error"].get("code") == 503:
                raise _unavailable(answer["error"])
            return None
        if answer.get("count") != last:
            raise Unavailable("JetStream acknowledged a different number of messages than the batch had")
        first = answer["seq"] - last + 1
        return [Stored(first + offset, False) for offset in range(last)]

    async def _append_singly(self, messages: Sequence[Message]) -> list[Stored | InvalidInput]:
        results: list[Stored | InvalidInput] = []
        for start in range(0, len(messages), _PIPELINE):
            replies: list[asyncio.Future[Msg]] = []
            try:
                for message in messages[start : start + _PIPELINE]:
                    sent = self._connection.start_request(message.subject, message.body, _headers(message))
                    replies.append(await sent)
                answers = [_result(parse_reply(await self._connection.finish_request(reply))) for reply in replies]
                results += await self._told_apart(messages[start : start + _PIPELINE], answers)
            except Unavailable as error:
                error.unknown = error.unknown or bool(results) or len(replies) > 1  # others of them may be there
                raise
            finally:
                for reply in replies:
                    reply.cancel()  # no effect on an answered one; the others' answers no longer matter
        return results

    async def _told_apart(
        self, messages: Sequence[Message], results: list[Stored | InvalidInput]
    ) -> list[Stored | InvalidInput]:
        """The results, in which a duplicate is really the same event.

        Whoever hears a message before it is stored (the first ones of a batch are heard before the last one is sent)
        knows its `Nats-Msg-Id`, and may store something else under it. Such a message is stored under another id.
        """
        seals = self._connection.seals
        for place, (message, result) in enumerate(zip(messages, results, strict=True)):
            if seals is None or not isinstance(result, Stored) or not result.duplicate or not message.seal:
                continue
            for turn in range(_MOST_THEFTS):
                if await self._is_same(message, result.sequence, seals):
                    break
                log.warning("event_log.id_taken", subject=message.subject, sequence=result.sequence)
                headers = {**_headers(message), "Nats-Msg-Id": seals.another_id(message.id, turn)}
                answer = parse_reply(await self._connection.request(message.subject, message.body, headers))
                found = _result(answer)
                results[place] = found
                if not isinstance(found, Stored) or not found.duplicate:
                    break
                result = found
            else:
                raise Unavailable("somebody stores other events under the ids of ours: who may publish on this NATS?")
        return results

    async def _is_same(self, message: Message, sequence: int, seals: Seals) -> bool:
        """Whether what lies there is this event: sealed with our key for the same origin, with its source and id."""
        if (found := await message_of(self._connection, EVENTS, {"seq": sequence})) is None:
            return True  # it is gone already: what was there was taken for it before
        checked = seals.checked(stored_of(found))
        if not checked.seal:  # which is about its subject, too; one id on two subjects is one event
            return False
        if checked.headers.get(SEAL, "").split(".", 3)[-1] != message.seal.split(".", 3)[-1]:
            return False
        if not message.plain:
            return checked.body == message.body
        try:
            event = envelope.decode(checked.body)
        except InvalidInput:
            return False
        return (event.id, event.source) == (message.plain, message.source)

    async def stored_since(
        self, start_time: float, messages: Sequence[Message], plain_until: float = 0.0
    ) -> dict[str, int]:
        """Which messages the stream holds since `start_time`; see EventLog.stored_since."""
        wanted = {message.id for message in messages}
        plain: dict[str, list[Message]] = {}
        for message in messages if start_time < plain_until else ():
            plain.setdefault(message.plain, []).append(message)
        found: dict[str, int] = {}
        perhaps: dict[int, list[Message]] = {}
        async for stored in self.read(subject=EVERYTHING, since=start_time, limit=None, follow=False, bodies=False):
            if stored is None:
                continue
            number = stored.headers.get("Nats-Msg-Id", "")
            if number in wanted:
                found[number] = stored.sequence
            elif number in plain and stored.time < plain_until * 1e9:
                perhaps[stored.sequence] = plain[number]
        for sequence, candidates in perhaps.items():
            source = await self._source_of(sequence)
            found |= {message.id: sequence for message in candidates if message.source == source}
        return found

    async def _source_of(self, sequence: int) -> str:
        """The source of a stored CloudEvent; empty when it is none, or is gone."""
        answer = await self._connection.api(f"STREAM.MSG.GET.{EVENTS}", {"seq": sequence})
        try:
            return envelope.decode(base64.b64decode(answer["message"]["data"])).source
        except (KeyError, InvalidInput):
            return ""

    async def read(
        self,
        *,
        subject: str,
        since: float | None,
        limit: int | None,
        follow: bool,
        after: int = 0,
        bodies: bool = True,
    ) -> AsyncIterator[StoredMessage | None]:
        """Yield stored messages; see EventLog.read. Without `bodies` they are empty, which is faster."""
        messages = read_stream(
            self._connection, EVENTS, subject, since=since, limit=limit, follow=follow, after=after, bodies=bodies
        )
        async for message in messages:
            yield message

    async def at(self, sequences: Sequence[int]) -> list[StoredMessage]:
        """The messages at these sequences, in the order asked for; what is not there (any more) is left out."""
        room = asyncio.Semaphore(_AT_ONCE)

        async def one(sequence: int) -> StoredMessage | None:
            async with room:
                found = await message_of(self._connection, EVENTS, {"seq": sequence})
            if found is None:
                return None
            seals = self._connection.seals
            return stored_of(found) if seals is None else seals.checked(stored_of(found))

        return [found for found in await asyncio.gather(*map(one, sequences)) if found is not None]

    def newest(self, subject: str, count: int) -> AsyncIterator[StoredMessage]:
        """Up to `count` of the newest messages on a subject pattern, oldest first. Raises Unavailable."""
        return newest_on(self._connection, EVENTS, subject, count)

    async def subject_counts(self) -> dict[str, int]:
        """How many messages each subject of the stream has."""
        return await self._streams.subject_counts()


def _headers(message: Message) -> dict[str, str]:
    return {"Nats-Msg-Id": message.id, SEAL: message.seal} if message.seal else {"Nats-Msg-Id": message.id}


def _result(answer: dict[str, Any]) -> Stored | InvalidInput:
    error = answer.get("error")
    if error is None:
        return Stored(answer["seq"], bool(answer.get("duplicate")))
    if error.get("err_code") == _MESSAGE_TOO_LARGE:
        return TooLarge("the event is larger than the stream's max_msg_size")
    raise _unavailable(error)


def _unavailable(error: dict[str, Any]) -> Unavailable:
    text = f"JetStream refused: {error.get('description')} (error {error.get('err_code')})"
    return Unavailable(text, retry_after=5, hint="`openclaw-nats status` shows the stream's limits and the disk.")
