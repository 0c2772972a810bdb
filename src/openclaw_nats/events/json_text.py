"""JSON that others wrote: made well-formed where that loses nothing, refused with a reason where nothing could read it.

RFC 8259 allows numbers of any size, texts with half a surrogate pair and nesting without end. Python, msgspec, the
CEL interpreter and browsers do not. A number that no double holds (`1e400`) stays in the event as it is written, and
is only a problem for what has to read it (`values`); what no reader could take is refused (`check`).
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import msgspec

from openclaw_nats.errors import InvalidEvent, Poison

# msgspec, jinja2 and `==` follow nesting by recursion, with Python's limit of 1000 frames for all that is under way.
MAX_DEPTH = 256
OUT_OF_RANGE = "the event has a number that is out of range, such as 1e400"
MAX_DIGITS = 4000  # Python reads no integer of more than 4300 digits (CVE-2020-10735)

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
_LONE_LOW = re.compile(rb"(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_LONE_HIGH = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})")
_DIGITS = re.compile(rb"[0-9]{%d}" % (MAX_DIGITS + 1))
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_SEPARATORS = re.compile(rb"[\[\]{},]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

_top = msgspec.json.Decoder(dict[str, msgspec.Raw])


def well_formed(body: bytes) -> bytes:
    r"""JSON without half surrogate pairs: each `\ud83d` that stands alone becomes U+FFFD; most often the same bytes."""
    if not _HALF.search(body) or b"\0" in body:  # a NUL byte is no JSON: refused by whoever reads it
        return body
    bare = body.replace(b"\\\\", b"\0\0")  # an escaped backslash escapes nothing
    bare = _LONE_HIGH.sub(rb"\\ufffd", _LONE_LOW.sub(rb"\\ufffd", bare))
    return bare.replace(b"\0\0", b"\\\\")


def whole_text(text: str) -> str:
    """Text without half surrogate pairs, each of which becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def check(document: bytes) -> None:
    """Raise InvalidEvent for JSON that is nested over MAX_DEPTH or has a number of over MAX_DIGITS digits."""
    if document.count(b"[") + document.count(b"{") > MAX_DEPTH and _is_deep(document):
        raise InvalidEvent(f"the event is nested more than {MAX_DEPTH} levels deep")
    if len(document) > MAX_DIGITS and _DIGITS.search(document) and _DIGITS.search(_STRING.sub(b"", document)):
        raise InvalidEvent(f"the event has a number of more than {MAX_DIGITS} digits")


def repeated(document: bytes, fields: Mapping[str, msgspec.Raw]) -> str:
    """The first name that stands twice at the top level of an object; empty when there is none.

    `fields` is the object decoded, for which the last of them counts. Their sizes add up to the document's when it has
    neither white space nor a name twice, as nearly all have.
    """
    if len(document) == _size(fields):
        return ""
    try:
        compact = msgspec.json.format(document, indent=-1)
        if len(compact) == _size(_top.decode(compact)):
            return ""
    except (msgspec.MsgspecError, RecursionError):
        return ""  # refused for that
    names = [name for name, _ in json.loads(document, object_pairs_hook=list)]
    return next((name for name, count in Counter(names).items() if count > 1), "")


def _size(fields: Mapping[str, msgspec.Raw]) -> int:
    return 1 + sum(len(name) + len(raw) + 4 for name, raw in fields.items())


def items(array: bytes) -> list[bytes]:
    """The items of a JSON array as they are written, however deep they are; raise ValueError for what is none."""
    text = array.strip()
    bare = _STRING.sub(lambda found: b'"' * len(found[0]), text)  # no bracket of a string is one
    if text[:1] != b"[" or text[-1:] != b"]":
        raise ValueError("it is no array")
    found, depth, begin = [], 0, 1
    for place in _SEPARATORS.finditer(bare):
        if place[0] in b"[{":
            depth += 1
        elif place[0] in b"]}":
            depth -= 1
            if depth < 0 or (depth == 0 and place.end() != len(text)):
                raise ValueError("it is no array")
        if (place[0] == b"," and depth == 1) or depth == 0:
            found.append(text[begin : place.start()].strip())
            begin = place.end()
    if depth or (not all(found) and found != [b""]):
        raise ValueError("it is no array")
    return [one for one in found if one]


def _is_deep(document: bytes) -> bool:
    steps = _STRING.sub(b"", document).translate(_STEPS, _NO_BRACKETS)
    return any(map(MAX_DEPTH.__lt__, accumulate(memoryview(steps).cast("b"))))


def values(document: bytes) -> Any:
    """The values of an event's document; raise Poison with the reason when one can't be read, such as 1e400."""
    try:
        return msgspec.json.decode(document)
    except RecursionError:
        raise Poison(f"the event is nested over {MAX_DEPTH} levels deep") from None
    except msgspec.ValidationError:
        raise Poison(OUT_OF_RANGE) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Poison(f"the event can't be read: {str(error)[:200]}") from None


def shown(document: bytes) -> dict[str, Any]:
    """A document for people and for answers in JSON: what can't be read as a value stays the JSON that it is."""
    try:
        found: dict[str, Any] = msgspec.json.decode(document, type=dict[str, Any])
    except msgspec.ValidationError:
        return {name: _value(raw) for name, raw in _top.decode(document).items()}
    return found


def lenient(document: bytes | str) -> Any:
    """Values for people: what Python can't hold (1e400, nesting without end) stays text, as it is written.

    Raise ValueError for what is no JSON.
    """
    try:
        return json.loads(document, parse_float=_number)
    except RecursionError:
        return document if isinstance(document, str) else document.decode("utf-8", "replace")


def _number(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _value(raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except msgspec.ValidationError:
        return raw
