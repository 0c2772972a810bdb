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
    after: int = 0,
    bodies: bool = True,
) -> AsyncIterator[StoredMessage | None]:
    """Yield the messages of a stream on a subject pattern; the contract is EventLog.read's."""
    try:
        async for message in _read(connection, stream, subject, _start(since, after), limit, follow, bodies):
            yield message
    except (NatsError, OSError) as error:
        raise Unavailable(f"the stream can't be read: {error or type(error).__name__}") from error


async def _read(
    connection: Connection,
    stream: str,
    subject: str,
    start: dict[str, Any],
    limit: int | None,
    follow: bool,
    bodies: bool,
) -> AsyncIterator[StoredMessage | None]:
    near = await _near_the_end(connection, stream, limit) if limit and not start else {}
    subscription = await _reader(connection, stream, subject, near or start, bodies)
    try:
        remaining = (await subscription.consumer_info()).num_pending or 0
        if near and limit and remaining < limit:  # not all of the newest messages are on the subject
            await _drop(subscription)
            subscription = await _reader(connection, stream, subject, start, bodies)
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


def _start(since: float | None, after: int) -> dict[str, Any]:
    """Where a reader begins, as part of its consumer's configuration; empty for the first message."""
    if after > 0:
        return {"deliver_policy": DeliverPolicy.BY_START_SEQUENCE, "opt_start_seq": after + 1}
    if since is None:
        return {}
    since = max(0.0, since)  # Go, which the server is written in, reads no year before 0
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since)) + f"{since % 1:.6f}"[1:] + "Z"
    return {"deliver_policy": DeliverPolicy.BY_START_TIME, "opt_start_time": moment}


async def _near_the_end(connection: Connection, stream: str, limit: int) -> dict[str, Any]:
    """Where to begin for the newest `limit` messages of a stream, so that not everything before them is read too."""
    state = (await connection.client.jetstream().stream_info(stream)).state
    return _start(None, state.last_seq - limit) if state.last_seq - limit > state.first_seq else {}


async def _reader(
    connection: Connection, stream: str, subject: str, start: dict[str, Any], bodies: bool
) -> JetStreamContext.PullSubscription:
    config = ConsumerConfig(
        ack_policy=AckPolicy.NONE,
        inactive_threshold=30.0,
        mem_storage=True,
        num_replicas=1,
        headers_only=not bodies,
        **({"deliver_policy": DeliverPolicy.ALL} | start),
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
