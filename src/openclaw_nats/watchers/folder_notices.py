"""What the system says about a folder: that something has changed there, and no more. From a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from openclaw_nats.errors import WatchFailed, words_for

_STEP_MILLISECONDS = 200
_HINT = "Raise fs.inotify.max_user_watches and max_user_instances, or watch a smaller folder."


class Notices:
    """Of one folder; nothing below `hidden` counts."""

    def __init__(self, folder: str, hidden: str, *, recursive: bool) -> None:
        self._folder, self._hidden, self._recursive = folder, hidden, recursive
        self._told = asyncio.Event()
        self._stop = threading.Event()
        self._thread = ThreadPoolExecutor(1, "watch-files")
        self._loop = asyncio.get_running_loop()
        self._listening: asyncio.Future[None] = self._loop.run_in_executor(self._thread, self._listen)

    def begin(self) -> None:
        """What was said up to now is seen to."""
        self._told.clear()

    async def wait(self, seconds: float) -> None:
        """Until something has changed, or so long; raise WatchFailed when nobody listens any more."""
        waiting = asyncio.ensure_future(self._told.wait())
        try:
            both: set[asyncio.Future[Any]] = {waiting, self._listening}
            await asyncio.wait(both, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self._listening.done():
            self._listening.result()
            raise WatchFailed(f"{self._folder} is not watched any more")

    def close(self) -> None:
        """Listen no more."""
        self._stop.set()
        self._thread.shutdown(wait=False)
        self._listening.cancel()

    def _listen(self) -> None:
        import watchfiles

        logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it says each change
        try:
            for _ in watchfiles.watch(
                self._folder,
                watch_filter=lambda _, path: not is_below(path, self._hidden),
                debounce=_STEP_MILLISECONDS,
                step=_STEP_MILLISECONDS // 4,
                stop_event=self._stop,
                recursive=self._recursive,
                raise_interrupt=False,
            ):
                with contextlib.suppress(RuntimeError):  # the loop is closed
                    self._loop.call_soon_threadsafe(self._told.set)
        except (OSError, RuntimeError) as error:  # its own error is a RuntimeError
            why = getattr(error, "strerror", None) or words_for(error)
            raise WatchFailed(f"{self._folder} can't be watched: {why}", hint=_HINT) from None


class Silence:
    """In place of notices, where there are none."""

    def begin(self) -> None:
        """Nothing was said."""

    async def wait(self, seconds: float) -> None:
        """So long."""
        await asyncio.sleep(seconds)

    def close(self) -> None:
        """Nobody listens."""


@contextmanager
def notices(folder: str, hidden: str, *, recursive: bool, heard: bool) -> Iterator[Notices | Silence]:
    """Notices while the block runs; silence unless they are `heard`."""
    one = Notices(folder, hidden, recursive=recursive) if heard else Silence()
    try:
        yield one
    finally:
        one.close()


def is_below(path: str, folder: str) -> bool:
    """Whether a path is a folder, or in it."""
    return bool(folder) and (path == folder or path.startswith(folder + os.sep))
