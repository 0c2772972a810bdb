"""Redaction that never holds up the event loop: small texts here, the rest in a process with a limit of time."""

from __future__ import annotations

import msgspec

from openclaw_nats.errors import InvalidEvent, Poison
from openclaw_nats.outbound.redaction import Redactor
from openclaw_nats.outbound.redaction_worker import Request
from openclaw_nats.sandbox.process import Worker

SMALL_BYTES = 32 * 1024  # some milliseconds at worst


class RedactionProcess:
    """Redacts by a Redactor's rules."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        warm = msgspec.json.encode(Request("null", redactor.patterns, redactor.keys))
        self._worker = Worker("openclaw_nats.outbound.redaction_worker", "redaction", warm)

    async def redact(self, data: bytes) -> bytes:
        """See Redactor.redact; raise InvalidEvent when it takes too long, Unavailable without a process."""
        redactor = self._redactor
        if not redactor.concerns(data):
            return data
        if len(data) <= SMALL_BYTES and not redactor.patterns:
            return redactor.redact(data)
        request = msgspec.json.encode(Request(data.decode(), redactor.patterns, redactor.keys))
        try:
            found = msgspec.json.decode(await self._worker.ask(request), type=str).encode()
        except Poison as error:
            cause = "; is one of redaction.patterns too slow for it?" if redactor.patterns else ""
            raise InvalidEvent(f"the event has to be searched for secrets first, and {error}{cause}") from None
        return data if found == data else found

    async def close(self) -> None:
        """Stop the process."""
        await self._worker.close()
