"""Reading a stream from one place to another, with a consumer that leaves nothing behind."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from openclaw_nats.errors import Unavailable
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.jetstream.connection import Connection

_FETCH = 256


async def read_stream(
    connection: Connection,
    stream: str,
    subject: str,
    *,
    since: float | None = None,
    limit: int | None = None,
    follow: bool = False,
    bodies: bool = True,
) -> AsyncIterator[StoredMessage | None]:
    """Yield the messages of a stream on a subject pattern; the contract is EventLog.read's."""
    try:
        async for message in _read(connection, stream, subject, since, limit, follow, bodies):
            yield message
    except (NatsError, OSError) as error:
        raise Unavailable(f"the stream can't be read: {error or type(error).__name__}") from error


async def _read(
    connection: Connection,
    stream: str,
    subject: str,
    since: float | None,
    limit: int | None,
    follow: bool,
    bodies: bool,
) -> AsyncIterator[StoredMessage | None]:
    subscription = await _reader(connection, stream, subject, since, bodies)
    try:
        remaining = (await subscription.consumer_info()).num_pending or 0
        skip = max(0, remaining - limit) if limit is not None else 0
        while remaining or follow:
            try:
                messages = await subscription.fetch(_FETCH if follow else min(_FETCH, remaining), timeout=1)
            except NatsTimeout:
                if not follow:
                    return
                yield None
                continue
            for message in messages:
                remaining = max(0, remaining - 1)
                if skip:
                    skip -= 1
                else:
                    yield _stored_message(message)
    finally:
        await _drop(subscription)


async def _reader(
    connection: Connection, stream: str, subject: str, since: float | None, bodies: bool
) -> JetStreamContext.PullSubscription:
    start: dict[str, Any] = {"deliver_policy": DeliverPolicy.ALL}
    if since is not None:
        since = max(0.0, since)  # Go, which the server is written in, reads no year before 0
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since)) + f"{since % 1:.6f}"[1:] + "Z"
        start = {"deliver_policy": DeliverPolicy.BY_START_TIME, "opt_start_time": moment}
    config = ConsumerConfig(
        ack_policy=AckPolicy.NONE,
        inactive_threshold=30.0,
        mem_storage=True,
        num_replicas=1,
        headers_only=not bodies,
        **start,
    )
    return await connection.client.jetstream().pull_subscribe(subject, stream=stream, config=config)


async def _drop(subscription: JetStreamContext.PullSubscription) -> None:
    try:
        await subscription.unsubscribe()
    except (NatsError, OSError):
        return  # the connection is gone, and the server drops an idle reader after 30 s


def _stored_message(message: Msg) -> StoredMessage:
    meta = message.metadata
    return StoredMessage(
        sequence=meta.sequence.stream,
        subject=message.subject,
        headers=dict(message.headers or {}),
        body=message.data,
        time=int(meta.timestamp.timestamp() * 1e9),
        pending=meta.num_pending,
    )
