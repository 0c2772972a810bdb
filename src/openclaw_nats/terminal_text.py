"""Text that others wrote, made harmless for a terminal.

Publishers choose subjects, ids, session keys, names and data; targets choose their answers. In a terminal a control
sequence in them would set its title, move the cursor over what stands there, or (OSC 52) fill the clipboard; a
bidirectional override or an invisible character would make a name look like another. Each is shown as an escape.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Any

# Cc: C0, DEL and C1. Cf: bidirectional controls, zero-width characters, tags. Cs: half characters. Co: fonts decide.
# Zl, Zp: line breaks for some terminals. Then letters and symbols that are drawn as nothing or as a blank.
_KINDS = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u2800\u3164\uffa0")
_JOINER, _EMOJI_STYLE = "\u200d", "\ufe0f"
_UNSURE = re.compile(r"[^\x20-\x7e]+")
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_MOST_MARKS = 3  # accents on one letter; more of them climb over the lines around it


def plain(text: object, *, lines: bool = False) -> str:
    """`text` with everything escaped that is not printed as itself; with `lines` its line breaks and tabs stay."""
    if lines:
        kept = str(text).replace("\r\n", "\n").replace("\t", "    ").split("\n")
        return "\n".join(plain(line) for line in kept)
    return _UNSURE.sub(lambda match: _checked(match, _escaped), str(text))


def escaped_json(text: str) -> str:
    """JSON text, in which what `plain` would escape is written with JSON's own escapes: the same document."""
    return _UNSURE.sub(lambda match: _checked(match, _json_escaped), text)


def to_json(value: Any, *, indent: int | None = None, default: Callable[[Any], Any] | None = None) -> str:
    """A value as JSON that is harmless in a terminal, umlauts and 🦀 as they are. `default` is as in json.dumps."""
    return escaped_json(json.dumps(value, indent=indent, ensure_ascii=False, default=default))


def _checked(match: re.Match[str], escape: Callable[[str], str]) -> str:
    """A piece of text that is not plain ASCII, with what is harmful in it escaped."""
    found: list[str] = []
    marks = 0
    for at, character in enumerate(match[0], match.start()):
        kind = _kind(character)
        marks = marks + 1 if kind in ("Mn", "Me") else 0
        harmful = kind in _KINDS or character in _BLANK or marks > _MOST_MARKS
        if harmful and character == _JOINER and _between_pictures(match.string, at):
            harmful = False
        found.append(escape(character) if harmful else character)
    return "".join(found)


def _between_pictures(text: str, at: int) -> bool:
    """Whether a zero-width joiner makes one picture of several, as in a family's."""
    before = text[max(0, at - 2) : at].rstrip(_EMOJI_STYLE)[-1:]
    after = text[at + 1 : at + 2]
    return all(one and _kind(one) in ("So", "Sk") for one in (before, after))


@lru_cache(4096)
def _kind(character: str) -> str:
    return unicodedata.category(character)


def _escaped(character: str) -> str:
    number = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _json_escaped(character: str) -> str:
    if character in _SHORT:
        return character  # between the values: inside of them JSON has escaped it already
    number = ord(character)
    if number < 0x10000:
        return f"\\u{number:04x}"
    number -= 0x10000
    return f"\\u{0xD800 + (number >> 10):04x}\\u{0xDC00 + (number & 0x3FF):04x}"


def plural(count: int, word: str, many: str = "") -> str:
    """`1 timer`, `2 timers`; `many` for a word that does not just take an s."""
    return f"{count} {word if count == 1 else many or word + 's'}"
