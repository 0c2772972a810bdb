"""Checking a shape: the first field that is wrong is named with its path, what it is, and what would be right.

This is the first of two steps: whether a condition, a pattern or a template works is found out when it is compiled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import msgspec
from msgspec import inspect

from openclaw_nats.errors import InvalidInput
from openclaw_nats.suggestions import did_you_mean

T = TypeVar("T", bound=msgspec.Struct)

_AT = re.compile(r" - at `\$\.?([^`]*)`$")
_LONGEST = 4000  # characters of a message: it quotes what was sent
_WORDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_LIMITS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}


def check(value: object, shape: type[T], what: str, error: type[InvalidInput]) -> T:
    """`value` as `shape`; raise `error`, with the `field` that is wrong. `what` names the whole: "a route"."""
    if not isinstance(value, dict):
        raise error(f"{what} must be a JSON object")
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as problem:
        text = str(problem)
        if len(text) > _LONGEST:
            text = text[: _LONGEST // 2] + text[-_LONGEST // 2 :]  # its end says where
    except RecursionError:
        raise error(f"{what} is nested too deeply") from None
    path = (found[1] if (found := _AT.search(text)) else "").replace("[...]", "")
    message, field, hint = _explain(_AT.sub("", text), path, shape)
    raise error(message, hint=hint, field=field) from None


@contextmanager
def within(field: str) -> Iterator[None]:
    """What goes wrong in here is about this field, unless the error names one itself."""
    try:
        yield
    except InvalidInput as error:
        error.field = error.field or field
        raise


def _explain(text: str, path: str, shape: type[msgspec.Struct]) -> tuple[str, str, str]:
    """(what is wrong, in which field, what to do) for a message of msgspec's about a path."""
    if found := re.fullmatch(r"Object contains unknown field `(.*)`", text, re.DOTALL):
        field, known = _joined(path, found[1]), _fields_at(shape, path)
        names = f"Fields: {', '.join(known)}."
        return f"{field[:80]} is not known", field, " ".join(filter(None, (did_you_mean(found[1], known), names)))
    if found := re.fullmatch(r"Object missing required field `(.*)`", text):
        field = _joined(path, found[1])
        return f"{field} is missing", field, f"Fields: {', '.join(_fields_at(shape, path))}."
    if found := re.fullmatch(r"Invalid (?:enum )?value '?(.*?)'?", text, re.DOTALL):
        known = _values_at(shape, path)
        return f"{path} must be one of {', '.join(known)}, not {found[1][:40]!r}", path, ""
    if found := re.fullmatch(r"Expected `(.*?)`(?:, got `(.*?)`| (.*))?", text, re.DOTALL):
        kinds = [_WORDS.get(kind, kind) for kind in found[1].split(" | ") if kind != "null"]
        wanted = " or ".join(kinds)
        if found[2]:
            return f"{path} must be {wanted}, not {_WORDS.get(found[2], found[2])}", path, ""
        return f"{path} must be {wanted}{_limit(found[3] or '')}", path, ""
    return f"{path}: {text}" if path else text, path, ""


def _limit(text: str) -> str:
    """`<= 10` → `, at most 10`; `of length <= 5` → `, at most 5 long`."""
    long = " long" if "of length" in text else ""
    sign, _, number = text.removeprefix("of length ").partition(" ")
    return f", {_LIMITS[sign]} {number}{long}" if sign in _LIMITS else f" {text}"


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _structs_at(shape: type[msgspec.Struct], path: str) -> list[inspect.StructType]:
    """The structs that may stand at a path: several where a field takes one of many."""
    found = _structs(inspect.type_info(shape))
    for name in re.sub(r"\[\d*\]", "", path).split(".") if path else []:
        found = [
            one
            for struct in found
            for field in struct.fields
            if field.encode_name == name
            for one in _structs(field.type)
        ]
    return found


def _structs(kind: inspect.Type) -> list[inspect.StructType]:
    if isinstance(kind, inspect.StructType):
        return [kind]
    if isinstance(kind, inspect.Metadata):
        return _structs(kind.type)
    if isinstance(kind, inspect.UnionType):
        return [one for part in kind.types for one in _structs(part)]
    if isinstance(kind, inspect.ListType):
        return _structs(kind.item_type)
    return []


def _fields_at(shape: type[msgspec.Struct], path: str) -> list[str]:
    found: dict[str, None] = {}
    for struct in _structs_at(shape, path):
        found |= {struct.tag_field: None} if struct.tag_field else {}
        found |= {field.encode_name: None for field in struct.fields}
    return list(found)


def _values_at(shape: type[msgspec.Struct], path: str) -> list[str]:
    """The values that a field may have: a literal's, or the tags of the shapes that it may be."""
    parent, _, name = path.rpartition(".")
    found: list[str] = []
    for struct in _structs_at(shape, parent):
        if struct.tag_field == name:
            found.append(str(struct.tag))
        for field in struct.fields:
            if field.encode_name == name:
                found += _literals(field.type)
    return found


def _literals(kind: inspect.Type) -> list[str]:
    if isinstance(kind, inspect.LiteralType):
        return [str(value) for value in kind.values]
    if isinstance(kind, inspect.Metadata):
        return _literals(kind.type)
    if isinstance(kind, inspect.UnionType):
        return [one for part in kind.types for one in _literals(part)]
    return []
