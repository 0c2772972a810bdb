"""Its streams: how many events they hold, and copying those into ours when they lie in another NATS."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from openclaw_nats.errors import OpenClawNatsError
from openclaw_nats.events.decoding import document_of
from openclaw_nats.jetstream.connection import Connection, connected
from openclaw_nats.jetstream.options import Options, servers_of
from openclaw_nats.jetstream.reading import read_stream

STREAMS = ("agent_events", "agent_dlq", "scheduler_internal")
_GROUP = 500
_SECONDS = 3.0
PostLines = Callable[[bytes], dict[str, Any]]


def counts(url: str) -> dict[str, int] | None:
    """Messages in each of its streams; None when its NATS does not answer."""
    found: dict[str, int] | None = asyncio.run(_with(url, _counts))
    return found


def copy_events(url: str, post: PostLines, progress: Callable[[int], None]) -> int:
    """Send every event of its `agent_events` to our sidecar, oldest first; how many were new.

    They keep their ids, so that a copy that broke off is simply made again. They come before the routes, which take
    only what is stored after they were made: nobody is woken by them.
    """

    async def copy(connection: Connection) -> int:
        copied = seen = 0
        group: list[bytes] = []
        async for message in read_stream(connection, "agent_events", "agent.events.>"):
            if message is not None:
                group.append(document_of(message))
                seen += 1
            if len(group) >= _GROUP:
                copied += (await asyncio.to_thread(post, b"\n".join(group)))["accepted"]
                group.clear()
                progress(seen)
        if group:
            copied += (await asyncio.to_thread(post, b"\n".join(group)))["accepted"]
        return copied

    return asyncio.run(_with(url, copy)) or 0


async def _with(url: str, work: Callable[[Connection], Any]) -> Any:
    options = Options(servers_of(url))
    try:
        async with connected(options, _SECONDS) as connection:
            return await work(connection)
    except OpenClawNatsError:
        return None


async def _counts(connection: Connection) -> dict[str, int]:
    found = {}
    for name in STREAMS:
        answer = await connection.api(f"STREAM.INFO.{name}")
        if "error" not in answer:
            found[name] = int(answer["state"]["messages"])
    return found
