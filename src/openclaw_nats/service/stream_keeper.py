"""Looks at the streams again and again: somebody may delete or change them, or free a full disk."""

from __future__ import annotations

import asyncio
import os
import signal

import structlog

from openclaw_nats.errors import StreamConflict, Unavailable
from openclaw_nats.jetstream.connection import Connection
from openclaw_nats.jetstream.event_log import JetStreamEventLog
from openclaw_nats.jetstream.streams import Streams

log = structlog.get_logger(__name__)

KEEP_STREAMS_SECONDS = 30.0
_LATE_SECONDS = 0.5  # so late this process does what it has to
_AFTER_LATE_SECONDS = 15.0


class StreamKeeper:
    """Makes sure that the streams are there, and that JetStream stores; else the connection is not ready."""

    def __init__(self, connection: Connection, streams: Streams, event_log: JetStreamEventLog) -> None:
        self._connection = connection
        self._streams = streams
        self._event_log = event_log

    async def run(self) -> None:
        """Look until cancelled."""
        looked = late = 0.0
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await asyncio.sleep(1.0)
            now = loop.time()
            if now - began > 1.0 + _LATE_SECONDS:
                late = now
            if self._event_log.stalled and now - late < _AFTER_LATE_SECONDS:
                self._event_log.unanswered = 0  # it is we who were late, and nats-server may have answered in time
            if self._event_log.stalled:
                log.warning("jetstream.stalled", hint="is its disk full?")
                self._event_log.unanswered = 0
                _ask_for_nats_restart()
            connection = self._connection
            if connection.connected and not (connection.ready and now - looked < KEEP_STREAMS_SECONDS):
                looked = now
                await self._ensure()

    async def _ensure(self) -> None:
        try:
            await self._streams.ensure()
            self._connection.ready, self._connection.last_error = True, ""
        except (Unavailable, StreamConflict) as error:
            self._connection.ready, self._connection.last_error = False, str(error)
            if isinstance(error, Unavailable):
                _ask_for_nats_restart()


def _ask_for_nats_restart() -> None:
    """NATS answers but JetStream does not: it switches itself off when the disk is full, and only a restart helps."""
    if os.environ.get("OPENCLAW_NATS_SUPERVISED"):
        os.kill(os.getppid(), signal.SIGUSR1)
