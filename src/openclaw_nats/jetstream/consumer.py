"""The durable consumer of the events stream: the port EventSource with a pull loop of our own.

A consumer is only deleted when its position is saved: a process that dies before the new one is there goes on from it.
Facts (nats-server 2.15.1, JetStream wire API): a pull request is answered by messages and ended by a status message
(404, 408, 409); with `idle_heartbeat` the server says that it is alive by status 100. A consumer whose filter changes
goes on from where it was, past messages that only the new filter covers: so it is made again, from the right sequence.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from openclaw_nats.errors import Unavailable
from openclaw_nats.events.subjects import EVERYTHING, covers
from openclaw_nats.jetstream.connection import Connection, checked
from openclaw_nats.jetstream.gateway_names import consumer_name, older_consumer_name
from openclaw_nats.jetstream.incarnation import Incarnations
from openclaw_nats.jetstream.reader import Reader, pull_bytes
from openclaw_nats.jetstream.streams import EVENTS
from openclaw_nats.jetstream.wire import place_of, stored
from openclaw_nats.ports import Delivered, Position, Positions, Standing

log = structlog.get_logger(__name__)

ACK_SECONDS = 10
_BATCH = 256
_MAX_ACK_PENDING = 2048
_EXPIRES_SECONDS = 30
_HEARTBEAT_SECONDS = 5
_SILENCE_SECONDS = 12.0
_WAIT_SECONDS = 0.5
_NOT_FOUND = (10014, 10059)


class JetStreamSource:
    """The consumer of one Gateway's sidecar."""

    def __init__(self, connection: Connection, gateway_id: str, positions: Positions) -> None:
        self._connection = connection
        self._positions = positions
        self._incarnations = Incarnations(connection, positions)
        self.name = consumer_name(gateway_id)
        self._older_name = older_consumer_name(gateway_id)
        self._prefix = connection.new_inbox()
        self._buffer: deque[Delivered] = deque()
        self._open: dict[str, int] = {}
        self._arrived = asyncio.Event()
        self._subscription: Subscription | None = None
        self._epoch = -1
        self._heard = 0.0
        self._broken = ""

    @property
    def problem(self) -> str:
        """See EventSource.problem."""
        asked = f"{self._connection.api_prefix}.CONSUMER.MSG.NEXT.{EVENTS}.{self.name}"
        return self._connection.refusals.on(asked, "$JS.ACK.")

    async def subscribe(self, filters: Sequence[str], wanted: Sequence[tuple[str, int]]) -> None:
        """See EventSource.subscribe."""
        await self._forget()
        if not filters:
            return  # a consumer that is there keeps its place: it may be another machine's, or be wanted again
        standing = await self.standing()
        found = standing.position
        if found is not None and found.handled > standing.last:
            found = None  # the stream was put back without it
            await self._api(f"CONSUMER.DELETE.{EVENTS}.{self.name}")
        if found is None or found.filters != tuple(sorted(filters)):
            before = found or await self._before(standing)
            start = _start(before, wanted)
            if found is not None:
                await self._positions.save(found)
                await self._api(f"CONSUMER.DELETE.{EVENTS}.{self.name}")
            await self._create(filters, start)
            log.info("consumer.created", consumer=self.name, filters=len(filters), start=start)
        self._epoch = self._connection.epoch
        try:
            client = self._connection.client
            self._subscription = await client.subscribe(f"{self._prefix}.*", cb=self._on_message)
        except (NatsError, OSError) as error:
            raise Unavailable(f"the consumer can't be opened: {error}") from error
        self._heard = time.monotonic()

    async def next(self) -> list[Delivered]:
        """See EventSource.next; returns an empty list when nothing has come for a moment."""
        try:
            return await self._next()
        except Unavailable:
            self._incarnations.doubt()  # the stream may be another one when it is back
            raise

    async def _next(self) -> list[Delivered]:
        if self._epoch != self._connection.epoch or not self._connection.connected:
            raise Unavailable("the connection to NATS was lost: the consumer is opened again")
        if self._broken:
            raise Unavailable(f"the consumer has to be opened again: {self._broken}")
        if time.monotonic() - self._heard > _SILENCE_SECONDS:
            raise Unavailable("the consumer stopped responding: it is opened again")
        await self._ask()
        if not self._buffer:
            self._arrived.clear()
            try:
                async with asyncio.timeout(_WAIT_SECONDS):
                    await self._arrived.wait()
            except TimeoutError:
                return []
        taken = [self._buffer.popleft() for _ in range(min(_BATCH, len(self._buffer)))]
        return taken

    async def acknowledge(self, delivered: Sequence[Delivered]) -> None:
        """See EventSource.acknowledge."""
        try:
            client = self._connection.client
            for one in delivered:
                await client.publish(one.reply, b"+ACK")
        except (NatsError, OSError) as error:
            raise Unavailable(f"messages could not be acknowledged: {error}") from error

    async def position(self) -> tuple[str, int]:
        """See EventSource.position."""
        standing = await self.standing()
        return standing.stream, standing.last

    async def standing(self) -> Standing:
        """See EventSource.standing."""
        answer = await self._api(f"STREAM.INFO.{EVENTS}")
        state, last = answer["state"], int(answer["state"]["last_seq"])
        stream, kept, since = await self._incarnations.of(answer)
        found = await self._info(self.name)  # after the stream, so that "nothing is left" holds up to `last`
        position = _position(found, stream, last) if found else None
        return Standing(stream, int(state["first_seq"]), last, position, kept, since)

    async def count_after(self, sequence: int) -> int:
        """See EventSource.count_after."""
        reader = Reader(self._connection, EVENTS, EVERYTHING, bodies=False)
        try:
            return await reader.open({"deliver_policy": "by_start_sequence", "opt_start_seq": sequence + 1})
        finally:
            await reader.close()

    async def _before(self, standing: Standing) -> Position | None:
        """Where a consumer was that is no more: by what was saved, or by the one of the name that we once had."""
        saved = await self._positions.load()
        if saved is not None:
            return saved if saved.stream == standing.stream else None
        older = await self._info(self._older_name) if self._older_name != self.name else None
        return _position(older, standing.stream, standing.last) if older else None

    async def _create(self, filters: Sequence[str], start: int) -> None:
        config = {
            "durable_name": self.name,
            "name": self.name,
            "ack_policy": "explicit",
            "ack_wait": ACK_SECONDS * 1_000_000_000,
            "max_ack_pending": _MAX_ACK_PENDING,
            "max_deliver": -1,
            "replay_policy": "instant",
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": start,
            "filter_subjects": list(filters),
            "description": "openclaw-nats: events for the routes",
        }
        await self._api(f"CONSUMER.CREATE.{EVENTS}.{self.name}", {"stream_name": EVENTS, "config": config})

    async def _info(self, name: str) -> dict[str, Any] | None:
        answer = await self._connection.api(f"CONSUMER.INFO.{EVENTS}.{name}")
        if answer.get("error", {}).get("err_code") in _NOT_FOUND:
            return None
        return checked(answer)

    async def _api(self, operation: str, request: dict[str, Any] | None = None) -> dict[str, Any]:
        return checked(await self._connection.api(operation, request))

    async def _forget(self) -> None:
        """Close what was open: messages that lie here come again."""
        subscription, self._subscription = self._subscription, None
        self._buffer.clear()
        self._open.clear()
        self._broken = ""
        if subscription is not None:
            try:
                await subscription.unsubscribe()
            except (NatsError, OSError):
                return  # its connection is gone, and the subscription with it

    async def _ask(self) -> None:
        """Keep the server at work: ask again when half of what was asked for has come."""
        if sum(self._open.values()) + len(self._buffer) > _BATCH // 2:
            return
        token = secrets.token_hex(8)
        self._open[token] = _BATCH
        request = {
            "batch": _BATCH,
            "max_bytes": pull_bytes(self._connection),
            "expires": _EXPIRES_SECONDS * 1_000_000_000,
            "idle_heartbeat": _HEARTBEAT_SECONDS * 1_000_000_000,
        }
        try:
            client = self._connection.client
            await client.publish(
                f"{self._connection.api_prefix}.CONSUMER.MSG.NEXT.{EVENTS}.{self.name}",
                json.dumps(request).encode(),
                reply=f"{self._prefix}.{token}",
            )
        except (NatsError, OSError) as error:
            raise Unavailable(f"the consumer can't be asked: {error}") from error

    async def _on_message(self, message: Msg) -> None:
        self._heard = time.monotonic()
        place = place_of(message)
        if place is not None:
            self._buffer.append(Delivered(stored(message, place, self._connection.seals), message.reply))
            for token in self._open:  # the messages of all requests come in one stream; the oldest is filled first
                self._open[token] -= 1
                if self._open[token] <= 0:
                    del self._open[token]
                break
            self._arrived.set()
            return
        status = (message.headers or {}).get("Status", "")
        if status == "100":
            return
        self._open.pop(message.subject.rsplit(".", 1)[1], None)
        text = (message.headers or {}).get("Description", "")
        if status == "503" or (status == "409" and "Deleted" in text):
            self._broken = text or "no responders"
        self._arrived.set()


def _start(before: Position | None, wanted: Sequence[tuple[str, int]]) -> int:
    """The first sequence that a consumer for `wanted` has to deliver."""
    starts = []
    for pattern, after in wanted:
        seen = before is not None and any(covers(filter_, pattern) for filter_ in before.filters)
        starts.append(max(after, before.handled) if before is not None and seen else after)
    return min(starts) + 1


def _position(info: dict[str, Any], stream: str, last: int) -> Position:
    config = info["config"]
    single = config.get("filter_subject")
    filters = config.get("filter_subjects") or ([single] if single else [])
    idle = not info["num_pending"] and not info["num_ack_pending"]
    floor = int(info["ack_floor"]["stream_seq"])
    return Position(stream, tuple(sorted(filters)), max(floor, last) if idle else floor)
