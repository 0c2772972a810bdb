"""Traces: whose span an event belongs to (W3C Trace Context, https://www.w3.org/TR/trace-context/, version 00).

A publisher's `traceparent` goes with its event into the turn that the event wakes. What that turn publishes is in the
same trace, with the turn's own span as its parent: the plugin and the span exporter both derive that from the run's id.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
HEADER = "traceparent"
MAX_CARRIED = 32


def parse(traceparent: object) -> tuple[int, int] | None:
    """(trace id, span id); None for what is no traceparent, or one with an id of zero."""
    match = _TRACEPARENT.fullmatch(traceparent) if isinstance(traceparent, str) else None
    if match is None or int(match[1], 16) == 0 or int(match[2], 16) == 0:
        return None
    return int(match[1], 16), int(match[2], 16)


def given(value: object) -> str:
    """A traceparent as a header gave it; empty when it is none (the specification says: go on without)."""
    return value if isinstance(value, str) and parse(value) else ""


def carried(documents: Iterable[Mapping[str, Any]]) -> list[str]:
    """The traceparents of the events of one dispatch, each once, at most MAX_CARRIED: the first is its parent."""
    found = dict.fromkeys(value for one in documents if (value := given(one.get("traceparent"))))
    return list(found)[:MAX_CARRIED]


def run_span(run_id: str) -> int:
    """The span id of an agent's run; plugin/trace.js derives the same."""
    return number("run", run_id, 8)


def number(kind: str, text: str, size: int) -> int:
    """An id of `size` bytes that follows from a text; never 0."""
    return int.from_bytes(hashlib.sha256(f"{kind}:{text}".encode()).digest()[:size]) or 1
