"""Reading what others wrote (feeds, calendars, mails) in a process of its own, with limits of time and memory."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from openclaw_nats.errors import Poison, Unavailable, WatchFailed
from openclaw_nats.sandbox.process import Worker
from openclaw_nats.sources.watched import WATCHED

_WORKER = "openclaw_nats.watchers.read_worker"
_WARM = msgspec.json.encode({"kind": "", "body": ""})


class Unreadable(WatchFailed):
    """It is the text's fault: trying again can't help."""


class Reader:
    """One process, for one kind."""

    def __init__(self, kind: str, worker: Worker) -> None:
        self._kind = kind
        self._worker = worker

    async def read(self, body: bytes, **more: Any) -> Any:
        """What a text holds; raise Unreadable, or WatchFailed when no process can be had."""
        request = {"kind": self._kind, "body": base64.b64encode(body).decode(), **more}
        try:
            found = msgspec.json.decode(await self._worker.ask(msgspec.json.encode(request)))
        except Poison as error:
            raise Unreadable(f"it can't be read: {error}") from None
        except Unavailable as error:
            raise WatchFailed(str(error), hint=error.hint) from None
        if "error" in found:
            raise Unreadable(f"it can't be read: {found['error']}")
        return found["found"]


@asynccontextmanager
async def reading(kind: str, what: str) -> AsyncIterator[Reader]:
    """A process that reads `kind`; it ends with the block. `what` is for people: "the feed"."""
    worker = Worker(_WORKER, what, _WARM, WATCHED[kind].needs)
    try:
        yield Reader(kind, worker)
    finally:
        await worker.close()
