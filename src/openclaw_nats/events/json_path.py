"""Paths into JSON: `$.items[0].name`, `state["a key"]`. One value at most: no wildcards, no conditions."""

from __future__ import annotations

import re

from openclaw_nats.errors import InvalidInput

MAX_LENGTH = 256
Step = str | int
_STEP = re.compile(
    r"""\.?(?P<name>[A-Za-z_][\w-]*)|\[(?P<index>-?\d{1,9})\]|\["(?P<key>[^"\\]*)"\]|\['(?P<other>[^'\\]*)'\]"""
)


def parse(path: str) -> list[Step]:
    """The steps of a path, none for the whole document; raise InvalidInput that says where it can't be read."""
    if len(path) > MAX_LENGTH or not path.isprintable():
        raise InvalidInput(f"a JSON path has at most {MAX_LENGTH} printable characters")
    at = 1 if path.startswith("$") else 0
    steps: list[Step] = []
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None or (path[at] not in ".[" and at > 0):
            hint = 'For example $.items[0].name, or state["a key"]; it names one value.'
            raise InvalidInput(f"the JSON path can't be read from {path[at : at + 20]!r} on", hint=hint)
        if found["index"] is not None:
            steps.append(int(found["index"]))
        else:
            steps.append(next(one for one in (found["name"], found["key"], found["other"]) if one is not None))
        at = found.end()
    return steps


def find(value: object, steps: list[Step]) -> tuple[bool, object]:
    """(whether there is a value at the path, the value)."""
    for step in steps:
        in_object = isinstance(step, str) and isinstance(value, dict) and step in value
        if not in_object and not (
            isinstance(step, int) and isinstance(value, list) and -len(value) <= step < len(value)
        ):
            return False, None
        value = value[step]  # type: ignore[index]
    return True, value
