"""Session keys as OpenClaw compares them: without case, except the ids of Matrix rooms and Signal groups."""

from __future__ import annotations

import re

_CASE_COUNTS = re.compile(r"(.*?:(?:matrix:(?:channel|group)|signal:group):)(.+)", re.DOTALL | re.IGNORECASE)


def folded(key: str) -> str:
    """A session key in the form in which two keys of one session are equal."""
    found = _CASE_COUNTS.fullmatch(key)
    return found[1].lower() + found[2] if found is not None else key.lower()
