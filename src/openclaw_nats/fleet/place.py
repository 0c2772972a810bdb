"""Where a sidecar runs, so that a restart is distinguished from a copy of the machine.

The installation's id lies in a file of the state directory. A copy of the directory has the same id, but another inode;
a cloned machine has the same inode, but was started on its own (Linux: `boot_id`); another container has another name.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import uuid
from pathlib import Path

import msgspec

from openclaw_nats.errors import SettingsError

FILE = "installation-id"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Place(msgspec.Struct, frozen=True, rename="camel"):
    """One installation where it runs now. Two that are equal can't run at once: they would share port and lock."""

    installation: str
    host: str
    boot: str
    folder: str
    file: str

    @property
    def shown(self) -> str:
        """For operators."""
        return f"{self.host}, {self.folder}"

    def is_copy_of(self, other: Place) -> bool:
        """Whether both came from one installation, and are two now (they are known to run at the same time)."""
        if self.installation != other.installation:
            return False
        return self.file != other.file or (self.host == other.host and self.boot != other.boot)


def place_of(home: Path) -> Place:
    """The place of the installation in `home`; makes the id at its first start. Raises SettingsError."""
    path = home / FILE
    try:
        installation = _read_or_make(path)
        status = path.stat()
    except OSError as error:
        raise SettingsError(f"{path} can't be used: {error.strerror}", hint="Is its disk full or read-only?") from None
    return Place(
        installation=installation,
        host=socket.gethostname(),
        boot=_boot(),
        folder=str(home),
        file=f"{status.st_dev}:{status.st_ino}",
    )


def _read_or_make(path: Path) -> str:
    try:
        found = path.read_text(errors="replace").strip()
    except FileNotFoundError:
        found = ""
    if re.fullmatch(r"[0-9a-f]{32}", found):
        return found
    made = secrets.token_hex(16)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(made + "\n")
    return made


def _boot() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return f"{uuid.getnode():x}"  # macOS: the machine, at least
