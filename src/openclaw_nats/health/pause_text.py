"""A pause in words: the same in `status`, `pause` and `doctor`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def pause_text(pause: Mapping[str, Any], moment: Callable[[str], str] = str) -> str:
    """What is paused, by whom, since when, until when and why. `moment` writes a time of the API for whoever reads."""
    route = pause.get("route")
    what = f"the route {route!r} is" if route else "everything is" if pause["everything"] else "all turns are"
    until = f"until {moment(pause['until'])}" if pause.get("until") else "until it is resumed"
    reason = f": {pause['reason']}" if pause["reason"] else ""
    return f"{what} paused by {pause['madeBy']} since {moment(pause['since'])}, {until}{reason}"
