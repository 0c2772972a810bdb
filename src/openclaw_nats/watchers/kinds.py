"""The types that watch, each in a file of its own that is imported when it is needed: some need what is optional."""

from __future__ import annotations

import importlib
from typing import Protocol, cast

from openclaw_nats.watchers.watch import Watch


class WatchKind(Protocol):
    """One file of this folder."""

    async def run(self, watch: Watch) -> None:
        """Watch until cancelled; raise WatchFailed when that can't be."""

    async def look(self, watch: Watch) -> str:
        """What it sees now, in words, without remembering anything; raise WatchFailed."""


def kind_of(name: str) -> WatchKind:
    """The type of a name (sources/watched.py)."""
    return cast(WatchKind, importlib.import_module(f"{__package__}.{name}"))
