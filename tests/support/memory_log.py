"""An event log in memory. It passes the same contract as JetStream's (tests/contract)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

from openclaw_nats.errors import InvalidInput, TooLarge, Unavailable
from openclaw_nats.events import envelope
from openclaw_nats.events.messages import Message, Stored, StoredMessage
from openclaw_nats.events.subjects import matches


class MemoryLog:
    """The port EventLog without a server."""

    max_body = 1 << 21

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.times: list[float] = []
        self.too_large: set[str] = set()
        self.away = False

    async def append(self, messages: Sequence[Message]) -> list[Stored | InvalidInput]:
        self._check()
        results: list[Stored | InvalidInput] = []
        for message in messages:
            known = next((at for at, one in enumerate(self.messages, 1) if one.id == message.id), None)
            if message.id in self.too_large:
                results.append(TooLarge("too large"))
            elif known is not None:
                results.append(Stored(known, True))
            else:
                self.messages.append(message)
                self.times.append(time.time())
                results.append(Stored(len(self.messages), False))
        return results

    async def stored_since(
        self, start_time: float, messages: Sequence[Message], plain_until: float = 0.0
    ) -> dict[str, int]:
        self._check()
        found = {}
        for at, (one, moment) in enumerate(zip(self.messages, self.times, strict=True), 1):
            for wanted in messages if moment >= start_time else ():
                of_old = moment < plain_until and one.id == wanted.plain and _source(one.body) == wanted.source
                if one.id == wanted.id or of_old:
                    found[wanted.id] = at
        return found

    async def read(
        self, *, subject: str, since: float | None, limit: int | None, follow: bool, after: int = 0
    ) -> AsyncIterator[StoredMessage | None]:
        self._check()
        at = 0
        since = None if after else since
        chosen = [n for n, one in enumerate(self.messages) if n >= after and self._fits(n, subject, since)]
        for at in chosen[len(chosen) - limit if limit is not None and limit < len(chosen) else 0 :]:
            yield self._stored(at)
        at = len(self.messages)
        while follow:
            while at < len(self.messages):
                if matches(subject, self.messages[at].subject):
                    yield self._stored(at)
                at += 1
            self._check()
            yield None
            await asyncio.sleep(0.01)

    def _check(self) -> None:
        if self.away:
            raise Unavailable("the server is away")

    def _fits(self, at: int, subject: str, since: float | None) -> bool:
        return matches(subject, self.messages[at].subject) and (since is None or self.times[at] >= since)

    def _stored(self, at: int) -> StoredMessage:
        one = self.messages[at]
        return StoredMessage(at + 1, one.subject, {"Nats-Msg-Id": one.id}, one.body, int(self.times[at] * 1e9), 0)


def _source(body: bytes) -> str:
    try:
        return envelope.decode(body).source
    except InvalidInput:
        return ""
