"""One pass over a stream, by a consumer that leaves nothing behind; it can stand still, but never skip anything.

Facts (nats-server 2.15.1): a pull request with `no_wait` is answered by what there is, then by status 404; one with
`expires` by what comes until then. A consumer without acknowledgements hands each message out once, and numbers them
from 1: a gap in these numbers is a message that was lost on the way (a connection that broke, a slow client).
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Sequence
from typing import Any

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from openclaw_nats.errors import Unavailable
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.jetstream.connection import Connection, checked
from openclaw_nats.jetstream.wire import place_of, status_of, stored

SILENCE_SECONDS = 10.0
BATCH = 256
MAX_PULL_BYTES = 8 << 20
_EXPIRES_SECONDS = 20
_HEARTBEAT_SECONDS = 3


def pull_bytes(connection: Connection) -> int:
    """How many bytes one pull request may bring: the largest message fits, and an account's limit is seldom less."""
    return max(MAX_PULL_BYTES, 2 * connection.max_payload)


class Reader:
    """Hands out the messages of a stream on a subject, or on several that do not overlap, in order. After `Lost` it can
    be opened again behind the last.
    """

    def __init__(self, connection: Connection, stream: str, subject: str | Sequence[str], *, bodies: bool) -> None:
        self._connection = connection
        self._stream = stream
        self._subject = subject
        self._bodies = bodies
        self._name = f"openclaw-nats-read-{secrets.token_hex(6)}"
        self._inbox = connection.new_inbox()
        self._arrived: asyncio.Queue[Msg] = asyncio.Queue()
        self._subscription: Subscription | None = None
        self._epoch = -1
        self._count = 0
        self._open = 0
        self._heard = 0.0

    async def open(self, start: dict[str, Any]) -> int:
        """Begin at `start` (the part of a consumer's configuration that says where); how many messages there are."""
        subject = self._subject
        config = {
            "name": self._name,
            "ack_policy": "none",
            "inactive_threshold": int(3 * SILENCE_SECONDS * 1e9),
            "mem_storage": True,
            "num_replicas": 1,
            "replay_policy": "instant",
            "headers_only": not self._bodies,
            **({"filter_subject": subject} if isinstance(subject, str) else {"filter_subjects": list(subject)}),
            **({"deliver_policy": "all"} | start),
        }
        self._epoch = self._connection.epoch
        self._subscription = await self._connection.client.subscribe(self._inbox, cb=self._arrived.put)
        request = {"stream_name": self._stream, "config": config}
        answer = await self._connection.api(f"CONSUMER.CREATE.{self._stream}.{self._name}", request)
        self._heard = time.monotonic()
        return int(checked(answer).get("num_pending", 0))

    async def close(self) -> None:
        """Leave nothing behind; the server removes what can't be removed now after half a minute."""
        if self._subscription is None:
            return
        subscription, self._subscription = self._subscription, None
        try:
            await subscription.unsubscribe()
            if self._epoch == self._connection.epoch:
                subject = f"{self._connection.api_prefix}.CONSUMER.DELETE.{self._stream}.{self._name}"
                await self._connection.client.publish(subject, b"", reply=self._inbox)
        except (NatsError, OSError, Unavailable):
            return

    async def next(self, most: int, *, wait: bool) -> list[StoredMessage]:
        """The next messages, at most `most`; none when the server says that there is none now.

        With `wait` that takes up to a second, else the server is asked for what it has. Raises Lost when the reader
        has to be opened again, Unavailable when NATS is silent for SILENCE_SECONDS.
        """
        if self._epoch != self._connection.epoch or not self._connection.connected:
            raise Lost("the connection to NATS was lost")
        if not self._open:
            await self._ask(most, wait=wait)
        messages: list[StoredMessage] = []
        while not messages and self._open:
            silence = SILENCE_SECONDS - (time.monotonic() - self._heard)
            try:
                async with asyncio.timeout(max(0.0, min(1.0, silence) if wait else silence)):
                    self._take(await self._arrived.get(), messages)
            except TimeoutError:
                if time.monotonic() - self._heard < SILENCE_SECONDS:
                    return []
                raise Unavailable(f"NATS was silent for {SILENCE_SECONDS:g} s while a stream was read") from None
            while not self._arrived.empty():
                self._take(self._arrived.get_nowait(), messages)
        return messages

    def _take(self, message: Msg, messages: list[StoredMessage]) -> None:
        self._heard = time.monotonic()
        place = place_of(message)
        if place is not None:
            self._count += 1
            if place.delivered != self._count:
                raise Lost("a message was lost on the way")
            self._open -= 1
            messages.append(stored(message, place, self._connection.seals if self._bodies else None))
            return
        status, text = status_of(message), (message.headers or {}).get("Description", "")
        if status == "503" or (status == "409" and "Deleted" in text):
            raise Lost("the server does not know the reader any more")
        if status in ("404", "408", "409"):
            self._open = 0

    async def _ask(self, most: int, *, wait: bool) -> None:
        self._open = max(1, min(BATCH, most))
        self._heard = time.monotonic()
        request: dict[str, Any] = {"batch": self._open, "max_bytes": pull_bytes(self._connection)}
        if wait:
            request["expires"] = _EXPIRES_SECONDS * 1_000_000_000
            request["idle_heartbeat"] = _HEARTBEAT_SECONDS * 1_000_000_000
        else:
            request["no_wait"] = True
        subject = f"{self._connection.api_prefix}.CONSUMER.MSG.NEXT.{self._stream}.{self._name}"
        await self._connection.client.publish(subject, json.dumps(request).encode(), reply=self._inbox)


class Lost(Exception):
    """The reader has missed something, and has to be opened again behind the last message that it handed out."""
