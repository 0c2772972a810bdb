"""TOML and JSON that people wrote: their values, or a ValueError that says why there are none.

Python's readers follow nesting by recursion, and read a dotted key in a time that grows with the square of its parts
(50,000 take minutes): both end with a reason here.
"""

from __future__ import annotations

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
    """A TOML document; raise ValueError (mostly tomllib.TOMLDecodeError, with the place)."""
    if _LONG_KEY.search(text):
        raise ValueError(f"a key has more than {MAX_PARTS} parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError(_DEEP) from None


def from_json(text: str | bytes) -> Any:
    """A JSON value; raise ValueError (mostly json.JSONDecodeError, with the place)."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(_DEEP) from None
