"""A stream as a file, by JetStream's own snapshots: messages, configuration and consumers' positions.

Wire facts (nats-server 2.15.1, `$JS.API.STREAM.SNAPSHOT` and `.RESTORE`): chunks come to a subject, each acknowledged
by a reply, and an empty one ends it; a restore takes the same chunks as requests to the subject that its answer names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from openclaw_nats.errors import Unavailable, words_for
from openclaw_nats.jetstream.connection import Connection, parse_reply

CHUNK = 128 * 1024
_SECONDS = 30.0
_NOT_FOUND = 10059


async def save(connection: Connection, stream: str, file: Path) -> dict[str, Any] | None:
    """Write a stream to a file; its configuration and state as the server has them, None when there is none."""
    inbox = connection.new_inbox()
    chunks: asyncio.Queue[Msg] = asyncio.Queue()
    subscription = await connection.client.subscribe(inbox, cb=chunks.put)
    try:
        request = {"deliver_subject": inbox, "no_consumers": False, "chunk_size": CHUNK}
        answer = await connection.api(f"STREAM.SNAPSHOT.{stream}", request)
        if "error" in answer:
            if answer["error"].get("err_code") == _NOT_FOUND:
                return None
            raise Unavailable(f"stream {stream} can't be saved: {answer['error'].get('description')}")
        with file.open("wb") as out:
            while True:
                async with asyncio.timeout(_SECONDS):
                    chunk = await chunks.get()
                if not chunk.data:
                    if chunk.headers and (status := chunk.headers.get("Status")) and status != "204":
                        raise Unavailable(
                            f"saving stream {stream} broke off: {chunk.headers.get('Description', status)}"
                        )
                    break
                out.write(chunk.data)
                if chunk.reply:
                    await connection.client.publish(chunk.reply, b"")
        return {"config": answer["config"], "state": answer["state"]}
    except TimeoutError:
        raise Unavailable(f"saving stream {stream} broke off: no chunk within {_SECONDS:g} s") from None
    except (NatsError, OSError) as error:
        raise Unavailable(f"stream {stream} can't be saved: {error}") from error
    finally:
        await subscription.unsubscribe()


async def existing(connection: Connection, streams: Iterable[str]) -> list[str]:
    """Which of the streams there are."""
    return [one for one in streams if "error" not in await connection.api(f"STREAM.INFO.{one}")]


async def restore(connection: Connection, stream: str, file: Path, saved: dict[str, Any]) -> int:
    """Make a stream of a file; its messages. Raises Unavailable, also when there is a stream of that name already."""
    answer = await connection.api(f"STREAM.RESTORE.{stream}", {"config": saved["config"], "state": saved["state"]})
    if "error" in answer:
        raise Unavailable(f"stream {stream} can't be restored: {answer['error'].get('description')}")
    subject = answer["deliver_subject"]
    reply: Msg | None = None
    try:
        with file.open("rb") as source:
            for chunk in _chunks(source):
                reply = await connection.client.request(subject, chunk, timeout=_SECONDS)
                if reply.data and b'"error"' in reply.data:
                    break
            else:
                reply = await connection.client.request(subject, b"", timeout=_SECONDS)
    except (NatsError, OSError, TimeoutError) as error:
        raise Unavailable(f"restoring stream {stream} broke off: {words_for(error)}") from error
    done = parse_reply(reply)
    if "error" in done:
        raise Unavailable(f"stream {stream} can't be restored: {done['error'].get('description')}")
    return int(done["state"]["messages"])


def _chunks(source: IO[bytes]) -> Iterator[bytes]:
    while chunk := source.read(CHUNK):
        yield chunk
