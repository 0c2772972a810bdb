"""Which part of a condition said no to an event, and what the event holds there.

Parts are what `&&` and `||` join outside of brackets; a part is worked out by the same interpreter as the whole. Work
for the process with limits (condition_worker.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from openclaw_nats.errors import OpenClawNatsError, Poison
from openclaw_nats.events import cel_text
from openclaw_nats.events.conditions import ATTRIBUTES, Context, Expression

MOST_PARTS = 50
MOST_VALUES = 3
VALUE_CHARACTERS = 80
_ROOTS = "|".join(("data", "event", "priority", "hops", "origin", *ATTRIBUTES))
_PATH = re.compile(
    rf"""(?<![\w.'"])(?:{_ROOTS})\b(?:\s*\.\s*[A-Za-z_]\w*\b(?!\s*\()|\[\s*(?:\d+|'[^'\\]*'|"[^"\\]*")\s*\])*"""
)


def part_that_said_no(source: str, context: Context) -> str:
    """The smallest part that is false, and the values in it; empty when the condition holds or fails as a whole."""
    return _refusal(source, context, [MOST_PARTS])


def _refusal(source: str, context: Context, left: list[int]) -> str:
    source = _without_brackets(source)
    if not _is_false(source, context, left):
        return ""
    either = _split(source, "||")
    if len(either) > 1:
        found = [_refusal(part, context, left) for part in either]
        return "; and ".join(one for one in found if one) or _leaf(source, context)
    for part in _split(source, "&&"):
        if part != source and (found_one := _refusal(part, context, left)):
            return found_one
    return _leaf(source, context)


def _leaf(source: str, context: Context) -> str:
    values = [f"{path} is {shown}" for path, shown in _values(source, context)]
    return f"{source} is false" + (f": {', '.join(values)}" if values else "")


def _values(source: str, context: Context) -> Iterator[tuple[str, str]]:
    """What the event holds where a part looks."""
    bare = cel_text.blanked(source)
    paths = [found[0] for found in _PATH.finditer(source) if bare[found.start()] == source[found.start()]]
    for path in list(dict.fromkeys(paths))[:MOST_VALUES]:
        try:
            yield path, _shown(Expression(path, "when").evaluate(context))
        except Poison:
            yield path, "missing"
        except OpenClawNatsError:
            continue


def _shown(value: object) -> str:
    try:
        text = msgspec.json.encode(value, enc_hook=str).decode()
    except (TypeError, ValueError, RecursionError):
        text = repr(value)
    return text if len(text) <= VALUE_CHARACTERS else text[: VALUE_CHARACTERS - 1] + "…"


def _is_false(source: str, context: Context, left: list[int]) -> bool:
    left[0] -= 1
    if left[0] < 0:
        return False
    try:
        return Expression(source, "filter").evaluate(context) is False
    except OpenClawNatsError:
        return False


def _split(source: str, operator: str) -> list[str]:
    """The parts that an operator joins at the top; one, where a choice (`a ? b : c`) is at the top."""
    parts, depth, begin = [], 0, 0
    bare = cel_text.blanked(source)
    for at, character in enumerate(bare):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0 and character == "?":
            return [source]
        if depth == 0 and bare.startswith(operator, at):
            parts.append(source[begin:at].strip())
            begin = at + len(operator)
    return [*parts, source[begin:].strip()]


def _without_brackets(source: str) -> str:
    """Without the brackets that are around all of it."""
    source = source.strip()
    while source.startswith("("):
        depth = 0
        for at, character in enumerate(cel_text.blanked(source)):
            depth += (character in "([{") - (character in ")]}")
            if depth == 0:
                if at != len(source) - 1:
                    return source
                source = source[1:-1].strip()
                break
        else:
            return source
    return source
