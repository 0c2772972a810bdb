"""Reading query strings: known parameters only, each checked, with an error that names it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from starlette.requests import Request

from openclaw_nats.api.problems import Malformed
from openclaw_nats.events.envelope import parse_time
from openclaw_nats.settings import parse_duration

MAX_LIMIT = 1000
DEFAULT_LIMIT = 100


def parameters(request: Request, known: Iterable[str]) -> dict[str, str]:
    """The query's parameters; raise Malformed for one that is not known or comes twice."""
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            raise Malformed(f"there is no parameter {name[:40]!r}", hint="Known: " + ", ".join(sorted(known)))
        if name in found:
            raise Malformed(f"the parameter {name} comes twice")
        found[name] = value
    return found


def limit_of(query: dict[str, str]) -> int:
    """`limit`: from 1 to 1000, default 100."""
    value = query.get("limit", str(DEFAULT_LIMIT))
    if not (value.isascii() and value.isdigit() and len(value) < 6 and 1 <= int(value) <= MAX_LIMIT):
        raise Malformed(f"limit must be a whole number from 1 to {MAX_LIMIT}")
    return int(value)


def number_of(value: str, name: str) -> int:
    """A delivery's number."""
    if not (value.isascii() and value.isdigit() and len(value) < 19):
        raise Malformed(f"{name} must be a whole number")
    return int(value)


def moment_of(value: str, name: str) -> float:
    """A time as RFC 3339, or as a duration before now such as 2h: seconds since the Unix epoch."""
    try:
        return time.time() - parse_duration(value)
    except ValueError:
        pass
    try:
        return parse_time(value.replace(" ", "+")).timestamp()  # a + of the zone reads as a space in a query
    except (ValueError, OverflowError):
        raise Malformed(f"{name} must be a duration before now (2h) or an RFC 3339 time, not {value[:40]!r}") from None


def filters_of(query: dict[str, Any]) -> dict[str, Any]:
    """The filters of a list: route, subject, session, event, search, since, until."""
    texts = ("route", "subject", "session", "event", "search")
    found: dict[str, Any] = {name: query[name] for name in texts if name in query}
    for name in ("since", "until"):
        if name in query:
            if not isinstance(query[name], str):
                raise Malformed(f"{name} must be text")
            found[name] = moment_of(query[name], name)
    for name, value in found.items():
        if isinstance(value, str) and (len(value) > 512 or not value.isprintable()):
            raise Malformed(f"{name} must be at most 512 printable characters")
    return found
