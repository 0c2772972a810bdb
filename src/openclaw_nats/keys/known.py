"""The limited keys that count now, as a running process knows them: the file is looked at again when it has changed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from openclaw_nats.contract.keys import LimitedKey
from openclaw_nats.errors import SettingsError
from openclaw_nats.file_signature import signature
from openclaw_nats.keys.file import read
from openclaw_nats.keys.making import end_of, is_over, public_half
from openclaw_nats.locations import Locations

_MAX_REMEMBERED = 1000


class KnownKeys:
    """The keys of a state directory. A file that can't be read gives none: who is nobody now may not act.

    `tell` hears why that is so.
    """

    def __init__(
        self, home: Path, clock: Callable[[], float] = time.time, tell: Callable[[str], None] = lambda why: None
    ) -> None:
        self._path = Locations(home).limited_keys
        self._clock = clock
        self._tell = tell
        self._seen: tuple[int, ...] | None = None
        self._told = ""
        self._keys: dict[str, LimitedKey] = {}
        self._halves: dict[bytes, str] = {}  # by the digest of what was presented: an nkey takes 0.2 ms
        self.look()

    def look(self) -> bool:
        """Read the file again if it is another one; whether it was."""
        state = signature(self._path)
        if state == self._seen:
            return False
        before, why = self._keys, ""
        try:
            self._keys, self._seen = {key.public: key for key in read(self._path)}, state
        except SettingsError as error:
            # Only what is wrong in the file itself stays wrong until it is another file: a disk may come back.
            self._keys, self._seen, why = {}, None if isinstance(error.__cause__, OSError) else state, str(error)
        if why and why != self._told:
            self._tell(why)
        self._told = why
        return self._keys != before

    def valid(self) -> list[LimitedKey]:
        """Those that have not expired."""
        now = self._clock()
        return [key for key in self._keys.values() if not is_over(key, now)]

    def next_end(self) -> float:
        """When the next of them expires, in seconds since the Unix epoch; infinite when none does."""
        return min((end_of(key) for key in self.valid()), default=float("inf"))

    def find(self, secret: str) -> LimitedKey | None:
        """The key that this is the secret of; None for one that is unknown, revoked or expired."""
        self.look()
        if not self._keys or not secret.startswith("SU"):
            return None
        digest = hashlib.sha256(secret.encode("utf-8", "replace")).digest()
        public = self._halves.get(digest)
        if public is None:
            public = public_half(secret)
            if public not in self._keys:  # guesses are not remembered
                return None
            if len(self._halves) >= _MAX_REMEMBERED:
                self._halves.clear()
            self._halves[digest] = public
        key = self._keys.get(public)
        return None if key is None or is_over(key, self._clock()) else key

    def named(self, name: str) -> LimitedKey | None:
        """The key of a name; None for one that is unknown, revoked or expired."""
        self.look()
        now = self._clock()
        return next((key for key in self._keys.values() if key.name == name and not is_over(key, now)), None)

    def lasts(self, key: LimitedKey) -> bool:
        """Whether a key that was found still counts: what it keeps open ends with it."""
        self.look()
        return self._keys.get(key.public) == key and not is_over(key, self._clock())
