"""What nats-server has acknowledged by MQTT is in the stream, also when nats-server is killed.

With QoS 1 it hands a message to the streams, which take it when they come to it, and acknowledges it when its own
stream `$MQTT_msgs` has it, which keeps it as long as a consumer there wants it (nats-server 2.15.1, server/mqtt.go).
Ours does, until the message is found in the events stream; one that is not there is stored once more. Without that, a
kill loses what was acknowledged and still waited for the events stream: with a busy stream more than a thousand.

The streams of nats-server's MQTT have no limit of their own; they get one here.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from hashlib import sha256
from typing import Any, NamedTuple, TypeVar

import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from openclaw_nats.errors import MessageRefused, Unavailable, words_for
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.subjects import EVERYTHING, PREFIX
from openclaw_nats.jetstream.connection import Connection, checked, parse_reply
from openclaw_nats.jetstream.reader import pull_bytes
from openclaw_nats.jetstream.reading import message_of, nanoseconds, read_stream, stored_of
from openclaw_nats.jetstream.streams import EVENTS
from openclaw_nats.jetstream.wire import place_of, status_of, stored

log = structlog.get_logger(__name__)

T = TypeVar("T")
MESSAGES = "$MQTT_msgs"
MARK = "Nmqtt-Pub"  # nats-server's header of what came by MQTT
_PREFIX = "$MQTT.msgs."
_CONSUMER = "openclaw-nats"
_LIMITS = {
    MESSAGES: 256 << 20,
    "$MQTT_rmsgs": 64 << 20,
    "$MQTT_sess": 16 << 20,
    "$MQTT_qos2in": 64 << 20,
    "$MQTT_out": 16 << 20,
}
_MAKES = {  # as nats-server makes it; it takes one that is there
    "name": MESSAGES,
    "subjects": [f"{_PREFIX}>"],
    "storage": "file",
    "retention": "interest",
    "num_replicas": 1,
    "max_bytes": _LIMITS[MESSAGES],
    "max_consumers": 2000,  # one for each QoS 1 subscription of each client; it can't be set later
}
_NOT_FOUND = 10059
_WRONG_LAST_ID = 10070
_NOTHING_MORE = ("404", "408")  # statuses that end a pull
_BATCH = 256
_PAUSE_SECONDS = 1.0
_LIMITS_SECONDS = 30.0
_EARLIER_NS = 2_000_000_000  # the event may have been stored so long before what is kept for MQTT
_RECENT_NS = 600 * 10**9
_REMEMBERED = 4096


class MqttKept:
    """The task. `problem` says what is wrong now; `again` counts what had to be stored once more."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._done: dict[tuple[int, int], None] = {}  # messages that come again although they were looked at
        self._taken: dict[int, None] = {}  # the newest events that were found for a message
        self.problem = ""
        self.again = 0

    async def run(self) -> None:
        """Until cancelled. While NATS is away what is kept stays there."""
        while True:
            try:
                await self._follow()
            except (Unavailable, NatsError, OSError) as error:
                if self._connection.ready:  # else NATS is the problem
                    if (text := words_for(error)) != self.problem:
                        log.warning("mqtt.not_checked", error=text)
                    self.problem = text
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _follow(self) -> None:
        if not self._connection.ready:
            raise Unavailable("the streams are not ready yet")
        await self._prepare()
        self.problem = ""
        looked = asyncio.get_running_loop().time()
        while True:
            count = await self._round()
            now = asyncio.get_running_loop().time()
            if now - looked > _LIMITS_SECONDS:
                looked = now
                await self._limit()
            if count < _BATCH:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _prepare(self) -> None:
        """The stream and our consumer are there before the first client publishes: then it keeps for us, too."""
        answer = await self._connection.api(f"STREAM.INFO.{MESSAGES}")
        if answer.get("error", {}).get("err_code") == _NOT_FOUND:
            answer = await self._connection.api(f"STREAM.CREATE.{MESSAGES}", _MAKES)
        checked(answer)
        config = {
            "durable_name": _CONSUMER,
            "name": _CONSUMER,
            "ack_policy": "explicit",
            "ack_wait": 10 * 10**9,
            "max_deliver": -1,
            "deliver_policy": "all",
            "filter_subject": f"{_PREFIX}{EVERYTHING}",
            "description": "openclaw-nats: what is acknowledged is in the stream",
        }
        request = {"stream_name": MESSAGES, "config": config}
        operation = f"CONSUMER.CREATE.{MESSAGES}.{_CONSUMER}.{_PREFIX}{EVERYTHING}"
        checked(await self._connection.api(operation, request))
        await self._limit()

    async def _limit(self) -> None:
        """Whoever may use MQTT could else fill the disk: with retained messages, sessions, and what waits for them."""
        for name, most in _LIMITS.items():
            answer = await self._connection.api(f"STREAM.INFO.{name}")
            config = answer.get("config")
            if config is not None and config.get("max_bytes", -1) < 0:
                checked(await self._connection.api(f"STREAM.UPDATE.{name}", {**config, "max_bytes": most}))

    async def _round(self) -> int:
        """Look at what is kept now; how many there were."""
        messages = await self._pull()
        if not messages:
            return 0
        await self._settled()
        state = checked(await self._connection.api(f"STREAM.INFO.{EVENTS}"))["state"]
        begin = begins(state, time.time_ns())
        by_subject: dict[str, list[StoredMessage]] = {}
        for message in messages:
            place = place_of(message)
            if place is not None and place.time >= begin and (place.sequence, place.time) not in self._done:
                kept = stored(message, place, None)
                by_subject.setdefault(kept.subject.removeprefix(_PREFIX), []).append(kept)
        for subject, ones in by_subject.items():
            for kept in await self._missing(subject, ones):
                await self._store(subject, kept)
        for message in messages:
            await self._connection.client.publish(message.reply, b"+ACK")
        return len(messages)

    async def _pull(self) -> list[Msg]:
        found: list[Msg] = []
        done = asyncio.Event()
        ended = ""

        async def take(message: Msg) -> None:
            nonlocal ended
            if place_of(message) is not None:
                found.append(message)
            else:
                ended = status_of(message)
            if ended or len(found) >= _BATCH:
                done.set()

        client, inbox = self._connection.client, self._connection.new_inbox()
        subscription = await client.subscribe(inbox, cb=take)
        try:
            request = {"batch": _BATCH, "max_bytes": pull_bytes(self._connection), "no_wait": True}
            subject = f"{self._connection.api_prefix}.CONSUMER.MSG.NEXT.{MESSAGES}.{_CONSUMER}"
            await client.publish(subject, json.dumps(request).encode(), reply=inbox)
            async with asyncio.timeout(10):
                await done.wait()
        except TimeoutError:
            raise Unavailable("nats-server does not hand out what it keeps for MQTT") from None
        finally:
            await subscription.unsubscribe()
        if ended not in ("", *_NOTHING_MORE) and not found:
            raise Unavailable(f"the consumer of {MESSAGES} has to be made again: status {ended}")
        return found

    async def _settled(self) -> None:
        """Wait until the events stream has come to all that it was handed before now: a message that it has to refuse
        stands behind that in its queue.
        """
        headers = {"Nats-Expected-Stream": EVENTS, "Nats-Expected-Last-Msg-Id": secrets.token_hex(16)}
        reply = await self._connection.request(f"{PREFIX}bus.mqtt", b"", headers)
        answer = parse_reply(reply)
        if answer.get("error", {}).get("err_code") != _WRONG_LAST_ID:
            raise Unavailable(f"the events stream does not answer as it should: {answer}"[:300])

    async def _missing(self, subject: str, ones: list[StoredMessage]) -> list[StoredMessage]:
        """Those that the events stream does not have. An event is found for one of them only, as two may be alike."""
        if any(token in ("*", ">") for token in subject.split(".")):
            return []  # no event, and a search for it would find others
        since = min(one.time for one in ones) - _EARLIER_NS
        if len(ones) == 1:
            newest = await message_of(self._connection, EVENTS, {"last_by_subj": subject})
            if newest is not None and self.take([seen(stored_of(newest))], ones[0], since):
                _remember(self._done, _place(ones[0]))
                return []
        read = read_stream(self._connection, EVENTS, subject, since=since / 1e9)
        found = [seen(one) async for one in read if one is not None]
        missing = [one for one in ones if not self.take(found, one, since)]
        _remember(self._done, *(_place(one) for one in ones if one not in missing))
        return missing

    def take(self, found: list[Seen], kept: StoredMessage, since: int) -> bool:
        """Whether one of these is the message's, and no other's."""
        digest = _digest(kept)
        for one in found:
            if one.digest == digest and one.time >= since and one.sequence not in self._taken:
                _remember(self._taken, one.sequence)
                return True
        return False

    async def _store(self, subject: str, kept: StoredMessage) -> None:
        headers = {MARK: kept.headers.get(MARK, "1"), "Nats-Msg-Id": f"mqtt {kept.time} {kept.sequence}"}
        try:
            checked(parse_reply(await self._connection.request(subject, kept.body, headers)))
        except MessageRefused as error:  # as it was refused before: too large for the stream, say
            log.error("mqtt.refused", subject=subject, bytes=len(kept.body), error=str(error))
            return
        _remember(self._done, _place(kept))
        self.again += 1
        log.warning("mqtt.stored_again", subject=subject, sequence=kept.sequence)


def begins(state: dict[str, Any], now: int) -> int:
    """From when on what is missing in the stream never came to it: what is older may have left it again. That is seldom
    so of what is not old, and two events are better than none.
    """
    if state["first_seq"] <= 1:
        return 0
    first = nanoseconds(str(state["first_ts"])) if state["messages"] else now
    return min(first, now - _RECENT_NS)


def _remember(known: dict[T, None], *new: T) -> None:
    known.update(dict.fromkeys(new))
    while len(known) > _REMEMBERED:
        del known[next(iter(known))]


class Seen(NamedTuple):
    """An event of the stream, as far as it is looked at; times are nanoseconds since the Unix epoch."""

    sequence: int
    time: int
    digest: bytes  # empty for what did not come by MQTT


def seen(event: StoredMessage) -> Seen:
    """An event as `take` looks at it."""
    return Seen(event.sequence, event.time, _digest(event) if MARK in event.headers else b"")


def _place(kept: StoredMessage) -> tuple[int, int]:
    return kept.sequence, kept.time


def _digest(message: StoredMessage) -> bytes:
    return sha256(message.body).digest()
