"""What of an event a search for text looks at, and what a search asks for: words, and phrases in quotation marks.

The same functions make the index and check what the index found, so both know the same text. Letter case and the way
in which an accent is written make no difference. Nothing that an operator types is a syntax error.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import islice
from typing import Any

from openclaw_nats.events import json_text

MAX_CHARACTERS = 8192  # of one event; what stands behind them is not found by its text
MAX_TERMS = 16
_MOST_VALUES = 2000
_LONGEST_TERM = 256
_GRAM = 3
# A word of one or two characters has no three: these stand before and after such a one in the index.
_ONE, _TWO = "\x02", "\x03"
_MOST_GRAMS = 12
# The same in every event, or said elsewhere in it.
_NOT_SEARCHED = frozenset(
    {"specversion", "type", "time", "datacontenttype", "dataschema", "data_base64", "traceparent"}
)
_TERM = re.compile(r'"([^"]*)"?|([^\s"]+)')


def text_of(event: dict[str, Any]) -> str:
    """The text of an event's document by which it is found: names and values, in lower case, one space between words.

    Bounded by MAX_CHARACTERS, whatever a publisher wrote.
    """
    parts: list[str] = []
    size = 0
    for part in islice(_parts(event), _MOST_VALUES):
        parts.append(part[:MAX_CHARACTERS])
        size += len(parts[-1]) + 1
        if size >= MAX_CHARACTERS:
            break
    return folded(" ".join(parts)[:MAX_CHARACTERS])


def folded(text: str) -> str:
    """Text as it is compared."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode()).casefold()
    else:
        text = text.lower()
    return " ".join(text.translate(_NO_MARKS).split())


def terms_of(text: str) -> tuple[str, ...]:
    """The words and quoted phrases of a search, all of which have to be there; each once, at most MAX_TERMS."""
    found = (folded(phrase or word)[:_LONGEST_TERM] for phrase, word in _TERM.findall(text))
    return tuple(dict.fromkeys(term for term in found if term))[:MAX_TERMS]


def has_terms(text: str, terms: tuple[str, ...]) -> bool:
    """Whether a text of `text_of` holds every term."""
    return all(term in text for term in terms)


def indexed(text: str) -> str:
    """A text of `text_of` as the index of three characters gets it.

    One character or two of a script that needs no more for a word, or of an emoji, are found as well: they stand at
    the end once more, each pair and each character with a mark.
    """
    if text.isascii():
        return text
    single = dict.fromkeys(one for one in text if not one.isascii())
    pairs = dict.fromkeys(text[at : at + 2] for at in range(len(text) - 1) if not text[at : at + 2].isascii())
    return f"{text} {_ONE}{_ONE.join(single)}{_ONE}{''.join(_TWO + pair for pair in pairs)}"


def grams_of(term: str) -> tuple[str, ...]:
    """What the index is asked for a term: events that hold it have all of these, and few others do.

    Empty for one that is too short: one or two characters of ASCII.
    """
    if len(term) >= _GRAM:
        last = len(term) - _GRAM
        step = max(1.0, last / (_MOST_GRAMS - 1))
        places = dict.fromkeys(min(last, round(at * step)) for at in range(min(last + 1, _MOST_GRAMS)))
        return tuple(dict.fromkeys(term[at : at + _GRAM] for at in places))
    if term.isascii():
        return ()
    return (f"{_ONE}{term}{_ONE}",) if len(term) == 1 else (f"{_TWO}{term}",)


_NO_MARKS = {0: " ", ord(_ONE): " ", ord(_TWO): " "}


def _parts(event: dict[str, Any]) -> Iterator[str]:
    """Names and values, data last: in order, without recursion."""
    for name, value in event.items():
        if name != "data" and name not in _NOT_SEARCHED:
            yield str(value)
    waiting: list[Any] = [event.get("data")]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            for name, one in reversed(value.items()):
                waiting.append(one)
                waiting.append(name)
        elif isinstance(value, list):
            waiting.extend(value[:_MOST_VALUES][::-1])
        elif isinstance(value, bool):
            yield "true" if value else "false"
        elif value is not None:
            yield value if isinstance(value, str) else str(value)


def failed(event: dict[str, Any]) -> bool:
    """Whether an event reports something that went wrong."""
    subject, data = str(event.get("subject", "")), event.get("data")
    if subject.endswith((".failed", ".overflow")):
        return True
    return isinstance(data, dict) and (
        data.get("success") is False or data.get("outcome") == "error" or bool(data.get("error"))
    )


def shown(document: bytes) -> dict[str, Any]:
    """A document of the stream as values; what nothing can read has no fields."""
    try:
        return json_text.shown(document)
    except (ValueError, RecursionError):
        return {}
