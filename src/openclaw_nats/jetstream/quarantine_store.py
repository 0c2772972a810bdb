"""The port QuarantineStore: the stream `agent_quarantine`, which is made when the first request comes for it.

No route can match what lies there: routes are about `agent.events.>`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from openclaw_nats.errors import StreamConflict, TooLarge, Unavailable
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.jetstream.connection import Connection, checked, parse_reply
from openclaw_nats.jetstream.event_log import HEADER_ROOM
from openclaw_nats.jetstream.reading import message_of, read_stream, stored_of
from openclaw_nats.jetstream.streams import Streams

QUARANTINE = "agent_quarantine"
SUBJECTS = "agent.quarantine.>"
MOST = 1000  # of one source: then the oldest goes
_BYTES = 64 << 20
_DAYS = 30
_NOT_FOUND = 10059
_NO_MESSAGE = 10043


class JetStreamQuarantine:
    """What waits there, by the sequence of its message."""

    def __init__(self, connection: Connection, streams: Streams, replicas: int) -> None:
        self._connection = connection
        self._streams = streams
        self._replicas = replicas

    async def put(self, source: str, number: str, body: bytes, headers: dict[str, str]) -> tuple[int, bool]:
        """Store a request under an id; (its sequence, whether it was there already). Raises Unavailable."""
        self._check()
        if len(body) > self._connection.max_payload - HEADER_ROOM:
            raise TooLarge(f"the request is {len(body)} bytes long; NATS takes less")
        sent = {**headers, "Nats-Msg-Id": number, "Nats-Expected-Stream": QUARANTINE}
        subject = f"agent.quarantine.{source}"
        try:
            answer = parse_reply(await self._connection.request(subject, body, sent))
        except Unavailable as error:
            if error.unknown:
                raise
            await self._make()  # nobody takes the subject yet
            answer = parse_reply(await self._connection.request(subject, body, sent))
        found = checked(answer)
        return int(found["seq"]), bool(found.get("duplicate"))

    async def one(self, sequence: int) -> StoredMessage | None:
        """One that waits; None without it. Raises Unavailable."""
        self._check()
        if not await self._exists():
            return None
        found = await message_of(self._connection, QUARANTINE, {"seq": sequence})
        return stored_of(found) if found is not None else None

    async def every(self, source: str = "*", limit: int | None = None) -> AsyncIterator[StoredMessage]:
        """What waits, or the newest so many, oldest first. Raises Unavailable."""
        self._check()
        if not await self._exists():
            return
        subject = f"agent.quarantine.{source}"
        async for message in read_stream(self._connection, QUARANTINE, subject, limit=limit):
            if message is not None:
                yield message

    async def counts(self) -> dict[str, int]:
        """How many wait, by source. Raises Unavailable."""
        self._check()
        answer = await self._connection.api(f"STREAM.INFO.{QUARANTINE}", {"subjects_filter": SUBJECTS})
        if answer.get("error", {}).get("err_code") == _NOT_FOUND:
            return {}
        subjects = checked(answer)["state"].get("subjects") or {}
        return {subject.removeprefix("agent.quarantine."): int(count) for subject, count in subjects.items()}

    async def remove(self, sequence: int) -> bool:
        """It waits no more; False when there is none."""
        self._check()
        answer = await self._connection.api(f"STREAM.MSG.DELETE.{QUARANTINE}", {"seq": sequence})
        if answer.get("error", {}).get("err_code") in (_NOT_FOUND, _NO_MESSAGE):
            return False
        return bool(checked(answer).get("success"))

    async def clear(self, source: str) -> int:
        """Nothing of a source waits any more; how many did."""
        self._check()
        if not await self._exists():
            return 0
        request = {"filter": f"agent.quarantine.{source}"}
        return int(checked(await self._connection.api(f"STREAM.PURGE.{QUARANTINE}", request)).get("purged", 0))

    async def _exists(self) -> bool:
        answer = await self._connection.api(f"STREAM.INFO.{QUARANTINE}")
        if answer.get("error", {}).get("err_code") == _NOT_FOUND:
            return False
        return bool(checked(answer))

    async def _make(self) -> None:
        config: dict[str, Any] = {
            "name": QUARANTINE,
            "subjects": [SUBJECTS],
            "retention": "limits",
            "storage": "file",
            "discard": "old",
            "max_msgs_per_subject": MOST,
            "max_bytes": _BYTES,
            "max_age": _DAYS * 86400 * 10**9,
            "duplicate_window": 120 * 10**9,
            "num_replicas": self._replicas,
            "description": "Webhooks that nothing proves: until somebody releases them",
        }
        answer = await self._connection.api(f"STREAM.CREATE.{QUARANTINE}", config)
        if "error" in answer and answer["error"].get("code") != 503:
            text = f"stream {QUARANTINE}: {answer['error'].get('description')}"
            raise StreamConflict(text, hint="It needs 64 MiB of room in NATS.")
        checked(answer)

    def _check(self) -> None:
        if not self._connection.ready:
            raise self._connection.not_ready(self._streams.problem)
