"""What a watcher is given: what it remembers, and the way to turn what it has seen into events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from openclaw_nats.sources.stored import StoredSource
from openclaw_nats.sources.watched import options_of
from openclaw_nats.watchers.outbox import Outbox, Seen
from openclaw_nats.watchers.text import digest

T = TypeVar("T")
OF = "of"  # the item that says what the others are about
_BATCH = 100


@dataclass
class Watch:
    """One source that watches. `home` is the state directory, `timezone` the operator's.

    What it sees becomes events by `emit`, in one commit with what it remembers then: whatever is killed afterwards,
    each is stored once. `items` is what it remembers. It calls `well` whenever it sees what it watches, with a note
    when it does not see all of it.
    """

    source: StoredSource
    secret: str
    home: Path
    timezone: str
    outbox: Outbox
    well: Callable[[str], None] = lambda note: None
    items: dict[str, str] = field(default_factory=dict)
    _about: str = ""
    _fresh: bool = False

    def options(self, shape: type[T]) -> T:
        """What it is to watch; raise InvalidInput when that is not there."""
        found = options_of(self.source.type, self.source.options)
        assert isinstance(found, shape)  # noqa: S101
        return found

    async def begin(self, what: str) -> bool:
        """Recall what was seen of `what` (a folder, an address); whether this is the first look at it.

        Nothing is kept before the first `emit`: who is killed before it looks for the first time again.
        """
        self._about = digest(self.source.made, what)
        self.items = await self.outbox.items(self.source.name)
        self._fresh = self.items.pop(OF, "") != self._about
        if self._fresh:
            self.items = {}
        return self._fresh

    async def emit(self, events: Sequence[Seen], changes: Mapping[str, str | None] | None = None) -> None:
        """Store events, each with what it has to be remembered by, and remember `changes` with the last of them."""
        for at in range(0, max(len(events), 1), _BATCH):
            batch = events[at : at + _BATCH]
            kept: dict[str, str | None] = {}
            for one in batch:
                kept |= one.remember
            if at + _BATCH >= len(events):
                kept |= changes or {}
            await self.outbox.put(self.source, batch, kept, fresh={OF: self._about} if self._fresh else None)
            self._fresh = False
            for key, value in kept.items():
                if value is None:
                    self.items.pop(key, None)
                else:
                    self.items[key] = value
