"""Routes, jobs and timers that this version can't read: said above a list, since they are not in it."""

from __future__ import annotations

import shlex
from typing import Any

from openclaw_nats.cli.output import step


def tell_unreadable(found: dict[str, Any], what: str, remove: str) -> None:
    """A line for each in an API's list (its part `unreadable`); `remove` is the command that removes one."""
    others = found.get("unreadable", [])
    for one in others:
        way = (
            f"update openclaw-nats if it is a newer version's, else `openclaw-nats {remove} {shlex.quote(one['name'])}`"
        )
        step("!", f"{what} {one['name']} can't be used by this version", f"{one['reason']}; {way}")
