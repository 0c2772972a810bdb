"""A file of records of ours, such as the limited keys: read whole, within a size, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from openclaw_nats.errors import InvalidInput, SettingsError

T = TypeVar("T")
MAX_BYTES = 4 << 20


def read_records(path: Path, what: str, read: Callable[[bytes], list[T]]) -> list[T]:
    """The records in a file, none without one. `read` decodes and checks them: it raises ValueError or InvalidInput.

    Raises SettingsError for a file that is not what it has to be; its cause is an OSError when it could not be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SettingsError(f"{path} can't be read: {error.strerror}") from error
    try:
        if len(content) > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES} bytes")
        return read(content)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError, InvalidInput) as error:
        hint = f"`openclaw-nats restore` brings it back; without the file there are no {what}: rm {path}"
        raise SettingsError(f"{path} does not hold {what}: {error}", hint=hint) from None
