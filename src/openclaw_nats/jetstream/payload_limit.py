"""The largest message that an account takes, which nats-server does not tell: it tells its own limit alone.

What is over the account's limit ends the connection, mostly without a word, and would end it again at every repetition.
So after a connection that broke while something was under way, that size is tried out on a connection of its own,
with a message to nobody; when that ends, too, the limit is looked for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog
from nats.errors import Error as NatsError

from openclaw_nats.jetstream.client import SturdyClient

log = structlog.get_logger(__name__)

_SMALLEST = 1024  # bytes: no account's limit is less
_CLOSE_ENOUGH = 256
_LEARNED_SECONDS = 3600.0
_PROBE_SECONDS = 5.0


class PayloadLimit:
    """What was found; `bytes` is None while nothing below the server's own limit is known."""

    def __init__(
        self, connect: Callable[[], Awaitable[SturdyClient]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._connect = connect
        self._clock = clock
        self._found: tuple[int, float] | None = None

    @property
    def bytes(self) -> int | None:
        """The largest message with headers; it is looked for again after an hour, since accounts are changed."""
        if self._found is None or self._clock() - self._found[1] > _LEARNED_SECONDS:
            return None
        return self._found[0]

    async def suspect(self, size: int, subject: str) -> None:
        """A connection broke when a message of that size was under way. Never raises, and is done in bounded time."""
        if size <= _SMALLEST or (self.bytes is not None and size <= self.bytes):
            return
        try:
            if await self._takes(size, subject):
                return
            fits, too_large = 0, size
            while too_large - fits > _CLOSE_ENOUGH:
                middle = (fits + too_large) // 2
                if await self._takes(middle, subject):
                    fits = middle
                else:
                    too_large = middle
        except (NatsError, OSError, TimeoutError, ValueError):
            return  # NATS is away: nothing is known
        self._found = (fits, self._clock())
        log.warning("nats.account_limit", bytes=fits, hint="the account's max_payload is less than the server's")

    async def _takes(self, size: int, subject: str) -> bool:
        client = await self._connect()
        before = client.pongs
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                await client.publish(subject, bytes(size))
                for _ in range(2):  # nats-py sends the first ping before what waits to be sent
                    flush = asyncio.ensure_future(client.flush(timeout=int(_PROBE_SECONDS)))
                    while not (await asyncio.wait({flush}, timeout=0.05))[0] and not client.is_closed:
                        pass  # one on a connection that ends would not
                    flush.cancel()
                    await asyncio.gather(flush, return_exceptions=True)
        except (NatsError, OSError, TimeoutError):
            return False
        else:
            return client.pongs >= before + 2  # a flush also ends with the connection
        finally:
            if not client.is_closed:
                await client.close()
