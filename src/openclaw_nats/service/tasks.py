"""Long-running tasks, each named, restarted with backoff when it fails, its last error kept for health."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger(__name__)

_BACKOFF = (0.1, 0.5, 2.0, 10.0)
_HEALTHY_SECONDS = 60.0


async def keep_running(name: str, run: Callable[[], Awaitable[None]], errors: dict[str, str]) -> None:
    """Run `run` for ever; after a failure wait, then start it again. `errors` has it until it has run for a minute."""
    loop = asyncio.get_running_loop()
    attempt = 0
    while True:
        started = loop.time()
        healthy = loop.call_later(_HEALTHY_SECONDS, errors.pop, name, None)
        try:
            await run()
            error = "ended"
        except Exception as failure:
            error = repr(failure)
            log.exception("task.failed", task=name)
        finally:
            healthy.cancel()
        errors[name] = error
        attempt = 0 if loop.time() - started > _HEALTHY_SECONDS else attempt + 1
        await asyncio.sleep(_BACKOFF[min(attempt, len(_BACKOFF) - 1)])
