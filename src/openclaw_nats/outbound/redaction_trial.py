"""The operator's patterns for secrets are tried when they are set: one that may take for ever on some text is refused.

The texts are made from the pattern itself: what leads up to each of its repetitions, then what is repeated, many
times, and an end that does not match. Where that takes more time than an event may, the pattern would cost events.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Sequence
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

from openclaw_nats.errors import InvalidEvent, SettingsError, Unavailable
from openclaw_nats.outbound.redaction import Redactor
from openclaw_nats.outbound.redaction_process import RedactionProcess

NAME = "redaction.patterns"
MAX_PATTERN = 2000
_TEXT_BYTES = 48 * 1024
_MAX_TEXTS = 48
_OFTEN = 8  # a repetition that may go on for longer can cost time
_SAMPLES = "a0 -A_./=x\tZ9:é"
_REPEATS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT)


def check_patterns(patterns: Sequence[str]) -> None:
    """Raise SettingsError for a pattern that matches nothing at all, or takes too long on some text."""
    for pattern in patterns:
        if len(pattern) > MAX_PATTERN:
            raise SettingsError(f"{NAME}: a pattern of {len(pattern)} characters is too long (at most {MAX_PATTERN})")
        if re.compile(pattern).match(""):
            raise SettingsError(
                f"{NAME}: {pattern[:80]!r} matches nothing at all: every text would be masked at every place",
                hint="Write at least one character that has to be there.",
            )
    try:
        asyncio.run(_try(patterns))
    except Unavailable as error:
        raise SettingsError(f"{NAME} can't be tried: {error}", hint=error.hint) from None


async def _try(patterns: Sequence[str]) -> None:
    for pattern in patterns:
        process = RedactionProcess(Redactor(patterns=(pattern,)))
        try:
            for text in texts(pattern):
                await process.redact(json.dumps({"text": text}).encode())
        except InvalidEvent:
            raise SettingsError(
                f"{NAME}: {pattern[:80]!r} takes too long on some texts, such as {text[:40]!r} repeated",
                hint="Avoid a repetition inside or next to one of the same characters; begin with a fixed text or \\b.",
            ) from None
        finally:
            await process.close()


def texts(pattern: str) -> list[str]:
    """Texts on which the pattern may take long, each of about 48 KiB."""
    found: dict[tuple[str, str], None] = {}
    tree = _parser.parse(pattern)
    for lead, unit in _attacks(tree, ""):
        found[lead, unit] = None
    whole = _one(tree)
    if whole:
        found["", whole[:-1] or whole] = None
    return [lead + unit * (_TEXT_BYTES // len(unit)) + "\0" for lead, unit in list(found)[:_MAX_TEXTS] if unit]


def _attacks(items: Any, lead: str) -> Iterator[tuple[str, str]]:
    """(what leads up to a repetition, what it repeats), for each in the pattern."""
    for operation, argument in items:
        if operation in _REPEATS or operation == getattr(_constants, "POSSESSIVE_REPEAT", None):
            _, most, inner = argument
            if most > _OFTEN:
                for unit in _units(inner):
                    yield lead, unit
                    yield "", unit
            yield from _attacks(inner, lead)
        elif operation is _constants.SUBPATTERN:
            yield from _attacks(argument[3], lead)
        elif operation is _constants.BRANCH:
            for branch in argument[1]:
                yield from _attacks(branch, lead)
        elif operation is getattr(_constants, "ATOMIC_GROUP", None):
            yield from _attacks(argument, lead)
        lead += _one([(operation, argument)])


def _units(items: Any) -> list[str]:
    """Some texts that a repetition's inside matches."""
    parts = list(items)
    if len(parts) == 1:
        operation, argument = parts[0]
        if operation in (_constants.IN, _constants.ANY, _constants.NOT_LITERAL, _constants.CATEGORY):
            return [one for one in _SAMPLES if _matches(operation, argument, one)][:4]
        if operation is _constants.SUBPATTERN:
            return _units(argument[3])
        if operation in _REPEATS:
            return _units(argument[2])
        if operation is _constants.BRANCH:
            return [_one(branch) for branch in argument[1]][:6]
    return [_one(parts)]


def _one(items: Any) -> str:
    """A text that these parts of a pattern match, as far as that can be known."""
    text = ""
    for operation, argument in items:
        if operation is _constants.LITERAL:
            text += chr(argument)
        elif operation in (_constants.IN, _constants.ANY, _constants.NOT_LITERAL, _constants.CATEGORY):
            text += next((one for one in _SAMPLES if _matches(operation, argument, one)), _first(argument))
        elif operation is _constants.SUBPATTERN:
            text += _one(argument[3])
        elif operation is _constants.BRANCH:
            text += _one(argument[1][0])
        elif operation is getattr(_constants, "ATOMIC_GROUP", None):
            text += _one(argument)
        elif operation in _REPEATS or operation == getattr(_constants, "POSSESSIVE_REPEAT", None):
            text += _one(argument[2]) * min(max(1, argument[0]), 64)
        if len(text) > 256:
            break
    return text[:256]


def _first(argument: Any) -> str:
    """The first character that a set names."""
    for operation, value in argument if isinstance(argument, list) else []:
        if operation is _constants.LITERAL:
            return chr(value)
        if operation is _constants.RANGE:
            return chr(value[0])
    return "a"


def _matches(operation: Any, argument: Any, character: str) -> bool:
    if operation is _constants.ANY:
        return True
    if operation is _constants.NOT_LITERAL:
        return bool(ord(character) != argument)
    if operation is _constants.CATEGORY:
        return _in_category(argument, character)
    negated = bool(argument) and argument[0][0] is _constants.NEGATE
    inside = any(_in_part(part, value, character) for part, value in argument)
    return inside != negated


def _in_part(part: Any, value: Any, character: str) -> bool:
    if part is _constants.LITERAL:
        return bool(ord(character) == value)
    if part is _constants.RANGE:
        return bool(value[0] <= ord(character) <= value[1])
    return part is _constants.CATEGORY and _in_category(value, character)


def _in_category(category: Any, character: str) -> bool:
    name = str(category).rpartition("CATEGORY_")[2]
    known = {
        "DIGIT": character.isdecimal(),
        "SPACE": character.isspace(),
        "WORD": character.isalnum() or character == "_",
    }
    base = name.removeprefix("UNI_").removeprefix("LOC_").removeprefix("NOT_")
    return known.get(base, False) != ("NOT_" in name)
