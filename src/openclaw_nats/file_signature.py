"""By what a file is known to be another one than last time."""

from __future__ import annotations

from pathlib import Path


def signature(path: Path) -> tuple[int, ...]:
    """What changes when a file is written or replaced; empty while there is none."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
