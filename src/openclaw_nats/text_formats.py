"""TOML and JSON that people wrote: their values, or a ValueError that says why there are none.

Python's readers follow nesting by recursion, and read a dotted key in a time that grows with the square of its parts
(50,000 take minutes): both end with a reason here.
"""

from __future__ import annotations

import datetime
import json
import re
import tomllib
from typing import Any

MAX_PARTS = 100  # of a dotted key; settings have two, the deepest field of a route four
_KEY = r"""(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')"""
# Keys begin a line, or stand behind one of these.
_LONG_KEY = re.compile(rf"(?:^|[\[{{,\n])[ \t]*+(?:{_KEY}[ \t]*+\.[ \t]*+){{{MAX_PARTS}}}")
_DEEP = "it is nested too deeply"


def from_toml(text: str) -> dict[str, Any]:
    """A TOML document, with or without a byte order mark; raise ValueError (mostly tomllib.TOMLDecodeError, with the
    place).
    """
    text = text.removeprefix("\ufeff")
    if _LONG_KEY.search(text):
        raise ValueError(f"a key has more than {MAX_PARTS} parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError(_DEEP) from None


def without_dates(value: Any) -> Any:
    """A value of TOML as JSON has it: dates and times, which TOML has and JSON lacks, become text (RFC 3339)."""
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: without_dates(one) for name, one in value.items()}
    return [without_dates(one) for one in value] if isinstance(value, list) else value


def from_json(text: str | bytes) -> Any:
    """A JSON value, with or without a byte order mark; raise ValueError (json.JSONDecodeError, with the place)."""
    text = text.removeprefix("\ufeff") if isinstance(text, str) else text.removeprefix(b"\xef\xbb\xbf")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(_DEEP) from None
