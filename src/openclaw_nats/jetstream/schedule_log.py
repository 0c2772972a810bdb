"""The port ScheduleLog on the JetStream stream `agent_schedules`.

Wire facts, run on nats-server 2.12.0, 2.12.6, 2.14.0 and 2.15.1 (NATS ADR-51, message schedules; ADR-43, message TTL):
a message with `Nats-Schedule: @at <RFC 3339>` is stored again on `Nats-Schedule-Target` at that time and removed from
its own subject, in one step, also when that time is past. It keeps its other headers but `Nats-Expected-*` and its own
`Nats-TTL`. When the TTL has run out before the server is back, it may fire or not: both are done at the same moment.
`Nats-Expected-Last-Subject-Sequence` with a wildcard in `Nats-Expected-Last-Subject-Sequence-Subject` guards a write.
2.12.0 takes no schedules in atomic batches.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from nats.aio.msg import Msg

from openclaw_nats.errors import Conflict, Unsupported
from openclaw_nats.events.envelope import format_time
from openclaw_nats.events.lateness import headers_for
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.seals import SEAL
from openclaw_nats.jetstream.connection import Connection, checked, parse_reply
from openclaw_nats.jetstream.reading import last_on, read_stream
from openclaw_nats.jetstream.streams import SCHEDULES, Streams
from openclaw_nats.ports import Arm, Record

_WRONG_SEQUENCE = 10071
_PIPELINE = 128


class JetStreamScheduleLog:
    """The schedules stream of the connected server."""

    def __init__(self, connection: Connection, streams: Streams) -> None:
        self._connection = connection
        self._streams = streams

    @property
    def problem(self) -> str:
        """Why schedules can't be used with this server; empty when they can."""
        return self._streams.schedules_problem if self._connection.ready else ""

    async def read(self, pattern: str) -> list[Record]:
        """See ScheduleLog.read."""
        self._check()
        found = []
        async for message in read_stream(self._connection, SCHEDULES, pattern, replaced=True):
            if message is not None:
                found.append(self._record(message))
        return found

    async def last(self, pattern: str) -> Record | None:
        """See ScheduleLog.last."""
        self._check()
        found = await last_on(self._connection, SCHEDULES, pattern)
        return None if found is None else self._record(found)

    def _record(self, one: StoredMessage) -> Record:
        seals, seal = self._connection.seals, one.headers.get(SEAL, "")
        ours = bool(seal) and seals is not None and seals.is_document(seal, one.subject, one.body)
        older = not seal and seals is not None and one.time < seals.unsealed_until
        return Record(one.subject, one.sequence, one.body, one.headers, one.time / 1e9, ours, ours or older)

    async def subjects(self, pattern: str) -> list[str]:
        """See ScheduleLog.subjects."""
        self._check()
        found: list[str] = []
        while True:
            request = {"subjects_filter": pattern, "offset": len(found)}
            answer = checked(await self._connection.api(f"STREAM.INFO.{SCHEDULES}", request))
            page = answer["state"].get("subjects") or {}
            found += page
            if not page or len(found) >= answer.get("total", 0):
                return found

    async def write(
        self,
        subject: str,
        body: bytes,
        *,
        revision: int | None = None,
        alone: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> int:
        """See ScheduleLog.write."""
        self._check()
        if headers is None and self._connection.seals is not None:
            headers = {SEAL: self._connection.seals.document(subject, body)}
        sent = {**(headers or {}), **_guard(alone)}
        if revision is not None:
            sent["Nats-Expected-Last-Subject-Sequence"] = str(revision)
        answer = parse_reply(await self._connection.request(subject, body, sent))
        if answer.get("error", {}).get("err_code") == _WRONG_SEQUENCE:
            raise Conflict("somebody else changed it at the same moment", hint="Look at it again, then repeat.")
        return int(checked(answer)["seq"])

    async def arm(self, arms: Sequence[Arm]) -> list[bool]:
        """See ScheduleLog.arm."""
        self._check()
        done: list[bool] = []
        for start in range(0, len(arms), _PIPELINE):
            replies: list[asyncio.Future[Msg]] = []
            try:
                for one in arms[start : start + _PIPELINE]:
                    replies.append(await self._connection.start_request(one.subject, one.body, _arm_headers(one)))
                for reply in replies:
                    answer = parse_reply(await self._connection.finish_request(reply))
                    refused = answer.get("error", {}).get("err_code") == _WRONG_SEQUENCE
                    done.append(not refused and bool(checked(answer)))
            finally:
                for reply in replies:
                    reply.cancel()  # no effect on an answered one
        return done

    async def purge(self, pattern: str, keep: int = 0) -> int:
        """See ScheduleLog.purge."""
        self._check()
        request: dict[str, Any] = {"filter": pattern} | ({"keep": keep} if keep else {})
        return int(checked(await self._connection.api(f"STREAM.PURGE.{SCHEDULES}", request)).get("purged", 0))

    def _check(self) -> None:
        if not self._connection.ready:
            raise self._connection.not_ready(self._streams.problem)
        if self.problem:
            raise Unsupported(self.problem, hint="Upgrade nats-server; events and routes work meanwhile.")


def _arm_headers(one: Arm) -> dict[str, str]:
    headers = {
        **one.headers,
        "Nats-Schedule": f"@at {format_time(math.ceil(one.at * 1000))}",
        "Nats-Schedule-Target": one.target,
        **_guard(one.alone),
    }
    if one.keep is not None:
        headers |= headers_for(one.at, one.keep)
        headers["Nats-TTL"] = f"{max(1, math.ceil(one.at + one.keep - time.time()))}s"
    return headers


def _guard(alone: str) -> dict[str, str]:
    if not alone:
        return {}
    return {"Nats-Expected-Last-Subject-Sequence": "0", "Nats-Expected-Last-Subject-Sequence-Subject": alone}
