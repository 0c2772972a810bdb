"""The file of limited keys: commands change it, the sidecar and the supervisor notice that."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from openclaw_nats.contract.keys import LimitedKey, LimitedKeyFile
from openclaw_nats.errors import InvalidInput
from openclaw_nats.keys.making import check_name, check_patterns, check_public, end_of
from openclaw_nats.locations import Locations
from openclaw_nats.record_file import MAX_BYTES, read_records

MAX_KEYS = 500

_decode = msgspec.json.Decoder(LimitedKeyFile).decode


class KeyFile:
    """Reads and changes the file. `write(path, text)` replaces it whole, for nobody else to read."""

    def __init__(self, home: Path, write: Callable[[Path, str], None]) -> None:
        self.path = Locations(home).limited_keys
        self._write = write

    def read(self) -> list[LimitedKey]:
        """All keys, by their names; raise SettingsError when the file is not what it has to be."""
        return read(self.path)

    @contextmanager
    def changing(self) -> Iterator[list[LimitedKey]]:
        """All keys, to be changed in the body; they are written when it ends without an error."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.path.with_name(f".{self.path.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = self.read()
            yield keys
            if len(keys) > MAX_KEYS:
                raise InvalidInput(f"there are {MAX_KEYS} keys already", hint="Revoke some: `openclaw-nats keys list`.")
            keys.sort(key=lambda one: one.name)
            text = msgspec.json.format(msgspec.json.encode(LimitedKeyFile(keys)), indent=2).decode()
            if len(text) >= MAX_BYTES:  # such a file would not be read again
                raise InvalidInput(
                    f"all keys together are larger than {MAX_BYTES >> 20} MiB", hint="Give fewer patterns."
                )
            self._write(self.path, text + "\n")


def read(path: Path) -> list[LimitedKey]:
    """The keys in a file, none without one; raise SettingsError when it is not what it has to be."""
    return read_records(path, "limited keys", _checked)


def _checked(content: bytes) -> list[LimitedKey]:
    keys = _decode(content).keys
    for key in keys:
        check_name(key.name)
        check_public(key.public)
        check_patterns(key.publish, key.read, key.topics)
        end_of(key)
    if len({key.name for key in keys}) < len(keys):
        raise ValueError("two keys have one name")
    if len({key.public for key in keys}) < len(keys):
        raise ValueError("two names have one key")
    return keys
