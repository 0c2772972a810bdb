"""A file of records of ours, such as the limited keys: read whole, within a size, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import msgspec

from openclaw_nats.errors import Conflict, InvalidInput, SettingsError, Unavailable

T = TypeVar("T")
MAX_BYTES = 4 << 20


class Named(Protocol):
    """A record with a name of its own."""

    @property
    def name(self) -> str:
        """What it is called."""


R = TypeVar("R", bound=Named)


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


class RecordFile(Generic[R]):
    """Named records that one process alone changes, in a file that it replaces whole.

    `write(path, text)` replaces the file, for nobody else to read. `read` is as for what a module reads its file with:
    it raises SettingsError. A file that can't be read gives no records, and is not written over: `problem` says why.
    `what` names the one list in it.
    """

    def __init__(
        self, path: Path, what: str, read: Callable[[Path], list[R]], write: Callable[[Path, str], None]
    ) -> None:
        self._path = path
        self._what = what
        self._write = write
        self.records: dict[str, R] = {}
        self.problem = ""
        try:
            self.records = {one.name: one for one in read(path)}
        except SettingsError as error:
            import structlog  # loaded only where it is needed: commands read these files, too

            self.problem = str(error)
            structlog.get_logger(__name__).error(f"{path.stem}.unreadable", error=str(error))

    def every(self) -> list[R]:
        """All, by their names."""
        return sorted(self.records.values(), key=lambda one: one.name)

    def keep(self, records: Mapping[str, R]) -> None:
        """Have these instead; raise Conflict for a file that was not read, Unavailable where it can't be written."""
        if self.problem:
            raise Conflict(self.problem, hint="Repair or remove that file, then `openclaw-nats restart`.")
        text = msgspec.json.format(msgspec.json.encode({self._what: list(records.values())}), indent=2).decode()
        try:
            self._write(self._path, text + "\n")
        except OSError as error:
            raise Unavailable(
                f"{self._path.name} can't be written: {error.strerror}", hint="Is the disk full?"
            ) from None
        self.records = dict(records)
