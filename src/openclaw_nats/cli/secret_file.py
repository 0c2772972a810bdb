"""A secret that a command made, in the file where its user wants it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from openclaw_nats.errors import InvalidInput


@contextlib.contextmanager
def kept(secret: str, path: Path | None) -> Iterator[None]:
    """Write it where it is wanted: beside it before it counts, else nobody would have it; in its place when it does."""
    if path is None or not secret:
        yield
        return
    from openclaw_nats.service.files import write_private

    beside = path.absolute().with_name(f".{path.name}.new")
    try:
        write_private(beside, secret + "\n")
        yield
        beside.replace(path.absolute())
    except OSError as error:
        raise InvalidInput(f"{path} can't be written: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
