"""JSON5 as OpenClaw's configuration is written in: strict JSON first, which is quick, else a compiled JSON5 parser.

JavaScript takes what pyjson5 does not: half of a surrogate pair, which OpenClaw leaves when it cuts a text in the
middle of an emoji, and numbers beyond the largest float. Such a text is put right and read again.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pyjson5

_PIECES = re.compile(
    # Each piece is read once, also where its end is missing: nothing is tried again from the middle of it.
    r"""(?P<text>"(?:[^"\\]++|\\.)*+(?:"|\Z)|'(?:[^'\\]++|\\.)*+(?:'|\Z))"""
    r"""|(?P<comment>//[^\n]*+|/\*(?:[^*]++|\*(?!/))*+(?:\*/|\Z))"""
    r"""|(?P<number>(?<![\w$])(?:\d++(?:\.\d*+)?+|\.\d++)[eE]\+?\d++)""",
    re.DOTALL,
)
_ESCAPES = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_PLACE = re.compile(r"near (\d+)")


def decode(raw: bytes) -> Any:
    """The value of a JSON or JSON5 document in UTF-8, with or without a byte order mark; raise ValueError.

    The error names line and column, and nothing of the content: that may be a secret.
    """
    text = raw.decode("utf-8", "replace").removeprefix("\ufeff")
    try:
        return _whole(json.loads(text))
    except (ValueError, RecursionError):
        pass
    try:
        return pyjson5.decode(text)
    except pyjson5.Json5Exception:
        pass
    repaired = _PIECES.sub(_repair, text)
    try:
        return pyjson5.decode(repaired)
    except pyjson5.Json5NestingTooDeep:
        raise ValueError("it is nested too deep") from None
    except pyjson5.Json5Exception as error:
        raise ValueError(f"it is neither JSON nor JSON5{_place(repaired, error)}") from None


def _whole(value: Any) -> Any:
    """A value whose texts can be written: halves of surrogate pairs become the replacement character."""
    if isinstance(value, str):
        return value if _is_whole(value) else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return value


def _is_whole(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _repair(piece: re.Match[str]) -> str:
    if piece["text"]:
        return _ESCAPES.sub(lambda found: r"\ufffd" if found[1] else found[0], piece["text"])
    if piece["number"] and float(piece["number"]) == float("inf"):
        return "Infinity"
    return piece[0]


def _place(text: str, error: Exception) -> str:
    match = _PLACE.search(str(error.args[0]) if error.args else "")
    if not match:
        return ""
    before = text[: max(0, int(match[1]) - 1)]
    return f": see line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"
