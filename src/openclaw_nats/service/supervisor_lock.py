"""One supervisor for a state directory: a lock that ends with its process, however that ends.

Apart from the supervisor, since every command asks who runs, and few run one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from typing import IO

from openclaw_nats.errors import SetupError
from openclaw_nats.locations import Locations


def running_pid(where: Locations) -> int | None:
    """The process id of the supervisor that holds the lock; None when none runs."""
    try:
        with where.lock.open("r") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read().strip() or 0) or None
    except (FileNotFoundError, ValueError):
        return None
    return None


@contextlib.contextmanager
def alone(where: Locations) -> Iterator[None]:
    """Hold the lock while the block runs; raise SetupError when another supervisor has this state directory."""
    where.lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file: IO[str] = where.lock.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        pid = running_pid(where)  # None when it began a moment ago
        raise SetupError(
            f"openclaw-nats is already running for {where.home}" + (f" (process {pid})" if pid else ""),
            hint="`openclaw-nats stop` stops it.",
        ) from None
    try:
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
    finally:
        file.close()
