"""The door for limited keys at our own nats-server: what they publish is taken in as over HTTP, and answered alike.

A key publishes on `key.<name>.<subject>` (keys/rights.py), where nats-server lets nobody else but the operator's own
programs. The answer has the form of JetStream's acknowledgement, so that any client's JetStream publish waits for it
and repeats what was not answered; it goes below the key's own inbox and nowhere else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec
import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from openclaw_nats.contract.keys import LimitedKey
from openclaw_nats.errors import (
    Filtered,
    InvalidInput,
    NotAllowed,
    OpenClawNatsError,
    TooLarge,
    Unavailable,
    words_for,
)
from openclaw_nats.events.decoding import event_of, well_formed
from openclaw_nats.events.envelope import Event
from openclaw_nats.events.ids import uuid7
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.origin import Origin
from openclaw_nats.events.subjects import check_subject
from openclaw_nats.jetstream.client import MAX_HEADERS, OVERSIZE, SturdyClient
from openclaw_nats.jetstream.connection import Connection
from openclaw_nats.jetstream.options import Options
from openclaw_nats.jetstream.streams import EVENTS
from openclaw_nats.keys.known import KnownKeys
from openclaw_nats.keys.rights import FIRST_TRY, NATS_PREFIX, inbox_of, said_by

log = structlog.get_logger(__name__)

EACH = 256  # messages of one key that wait or are under way; more are answered with 503
MOST = 1024  # of all keys; then nothing more is read from the connection, which is the door's own
MOST_BYTES = 8 << 20
_OURS = f"{NATS_PREFIX}.".encode()
_ID = "nats-msg-id"
_LONGEST_AGO = 366 * 86400.0


class Room:
    """How much has come in and is not answered."""

    def __init__(self) -> None:
        self._count = self._bytes = 0
        self._left = asyncio.Event()

    async def enter(self, size: int) -> None:
        """Wait until there is room for one more; one by itself always has it."""
        while self._count and (self._count >= MOST or self._bytes + size > MOST_BYTES):
            self._left.clear()
            await self._left.wait()
        self._count += 1
        self._bytes += size

    def leave(self, size: int) -> None:
        """It is answered."""
        self._count -= 1
        self._bytes -= size
        self._left.set()


class DoorClient(SturdyClient):
    """Reads no more than there is room for. What a key sends beyond that waits at nats-server, which cuts this
    connection off in the end, and no other.
    """

    def __init__(self) -> None:
        super().__init__()
        self.room = Room()  # what is lost with a connection takes no room of the next one

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        if subject.startswith(_OURS):
            await self.room.enter(len(data))
        await super()._process_msg(sid, subject, reply, data, headers)


class Taken(Protocol):
    """What became of an event (outbound.ingest.Published)."""

    @property
    def id(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def sequence(self) -> int: ...
    @property
    def duplicate(self) -> bool: ...


Take = Callable[[Event, bytes, Origin, float | None], Awaitable[Taken]]


class Acknowledgement(msgspec.Struct, omit_defaults=True):
    """JetStream's own fields (docs.nats.io, "JetStream wire API"), and the event's id and subject."""

    stream: str
    seq: int
    id: str
    subject: str
    duplicate: bool = False


class Refusal(msgspec.Struct):
    """Why an event was not stored; `code` is what the HTTP API would have answered. `filtered`: the operator's filter
    keeps it out.
    """

    code: int
    description: str
    err_code: int = 0
    filtered: bool = False


class Refused(msgspec.Struct):
    """The answer for an event that was not stored."""

    error: Refusal


@dataclass(slots=True)
class _Line:
    """What one key has said and is not answered yet, in order."""

    waiting: asyncio.Queue[Msg]
    works: asyncio.Task[None] | None = None


class KeyDoor:
    """Takes in what limited keys publish at NATS; in order for who waits for each answer.

    `code_of` gives the HTTP status of an error. With `only` it hears that key, and no other.
    """

    def __init__(
        self,
        options: Options,
        keys: KnownKeys,
        take: Take,
        code_of: Callable[[OpenClawNatsError], int],
        only: str = "*",
    ) -> None:
        self._connection = connection = Connection(options, DoorClient, "openclaw-nats key door")
        self._keys = keys
        self._take = take
        self._code_of = code_of
        self._lines: dict[str, _Line] = {}
        connection.serves[f"{NATS_PREFIX}.{only}.>"] = self._on_message

    @property
    def problem(self) -> str:
        """Why nothing is heard now; empty when the connection is up."""
        return "" if self._connection.connected else self._connection.last_error or "not connected yet"

    async def run(self) -> None:
        """Keep the door's connection up until cancelled."""
        await self._connection.run()

    async def close(self) -> None:
        """End what is under way; who is not answered repeats it."""
        tasks = [line.works for line in self._lines.values() if line.works is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._connection.close()

    async def _on_message(self, message: Msg) -> None:
        """Note it, and return at once: one key's many messages hold up nobody else's."""
        name = message.subject.split(".", 2)[1]
        key = self._keys.named(name)
        if key is None:  # the operator's own programs may publish here, too
            await self._answer(message, name, _refused(401, f"there is no limited key {name[:40]!r}"))
            return
        line = self._lines.setdefault(name, _Line(asyncio.Queue(EACH)))
        try:
            line.waiting.put_nowait(message)
        except asyncio.QueueFull:
            text = f"{EACH} events of the key {name} are not stored yet: wait for the answers, and repeat this one"
            await self._answer(message, name, _refused(503, text))
            return
        if line.works is None or line.works.done():
            line.works = asyncio.create_task(self._work(name, line), name=f"key-{name}")

    async def _work(self, name: str, line: _Line) -> None:
        """Store what waits, as many together as have come."""
        while not line.waiting.empty():
            messages = [line.waiting.get_nowait() for _ in range(line.waiting.qsize())]
            await asyncio.gather(*(self._handle(name, one) for one in messages))
        if self._lines.get(name) is line:  # no await since it was empty
            del self._lines[name]

    async def _handle(self, name: str, message: Msg) -> None:
        answer: Acknowledgement | Refused
        try:
            answer = await self._stored(name, message)
        except OpenClawNatsError as error:
            hint = f" {error.hint}" if error.hint else ""
            answer = _refused(self._code_of(error), f"{error}{hint}", filtered=isinstance(error, Filtered))
        except Exception as error:  # a mistake of ours
            log.error("key_door.bug", key=name, error=repr(error), exc_info=True)
            answer = _refused(500, "a fault in openclaw-nats; its log says more")
        await self._answer(message, name, answer)

    async def _stored(self, name: str, message: Msg) -> Acknowledgement:
        key: LimitedKey | None = self._keys.named(name)
        if key is None:
            raise NotAllowed(f"the key {name} is no longer valid")
        subject = check_subject(message.subject.split(".", 2)[2])
        origin = said_by(key)(subject)
        headers = {one: value for one, value in (message.headers or {}).items() if one.lower() != _ID or value.strip()}
        if OVERSIZE in headers:
            raise TooLarge(f"the headers are {headers[OVERSIZE]} bytes long; the limit is {MAX_HEADERS}")
        if not any(one.lower() == _ID for one in headers):  # as for JetStream, an empty one is none
            headers[_ID] = uuid7(int(time.time() * 1000))
        arrived = StoredMessage(0, subject, headers, bytes(message.data), time.time_ns(), 0, origin, believed=False)
        event, document = event_of(well_formed(arrived))
        if event.subject != subject:
            raise InvalidInput(f"the event says that its subject is {event.subject[:255]}, and came on {subject}")
        done = await self._take(event, document, origin, _first_try(headers.get(FIRST_TRY, "")))
        return Acknowledgement(EVENTS, done.sequence, done.id, done.subject, done.duplicate)

    async def _answer(self, message: Msg, name: str, answer: Acknowledgement | Refused) -> None:
        client = message._client
        if isinstance(client, DoorClient):
            client.room.leave(len(message.data))
        # Not below the key's inbox it is another's subject, on which the key may not publish itself.
        if not message.reply.startswith(f"{inbox_of(name)}.") or any(one in message.reply for one in "*> "):
            return
        try:
            await self._connection.client.publish(message.reply, msgspec.json.encode(answer))
        except (NatsError, OSError, Unavailable) as error:
            log.debug("key_door.unanswered", key=name, error=words_for(error))


def _first_try(ago: str) -> float | None:
    """When its publisher tried first, in seconds since the Unix epoch; None where it did not before."""
    if not ago:
        return None
    try:
        seconds = float(ago)
    except ValueError:
        seconds = float("nan")
    if not abs(seconds) <= _LONGEST_AGO:
        raise InvalidInput(f"the header {FIRST_TRY} must be a number of seconds, {_LONGEST_AGO:g} at most")
    return time.time() - seconds


def _refused(code: int, description: str, *, filtered: bool = False) -> Refused:
    return Refused(Refusal(code, description, filtered=filtered))
