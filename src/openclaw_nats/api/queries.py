"""Reading query strings: known parameters only, each checked, with an error that names it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from starlette.requests import Request

from openclaw_nats.api.problems import Malformed
from openclaw_nats.events.envelope import parse_time
from openclaw_nats.settings import parse_duration
from openclaw_nats.storage.listed import Filters

MAX_LIMIT = 1000
DEFAULT_LIMIT = 100
_TEXTS = ("route", "subject", "session", "event", "search")
_TIMES = ("since", "until")


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


def filters_of(query: Mapping[str, str | None], states: tuple[str, ...] = ()) -> Filters:
    """The filters of a list: route, subject, session, event, search, since, until."""
    for name in _TEXTS:
        text = query.get(name)
        if text is not None and (len(text) > 512 or not text.isprintable()):
            raise Malformed(f"{name} must be at most 512 printable characters", field=name)
    since, until = (None if (given := query.get(name)) is None else moment_of(given, name) for name in _TIMES)
    return Filters(
        states=states,
        route=query.get("route"),
        subject=query.get("subject"),
        session=query.get("session"),
        event=query.get("event"),
        search=query.get("search"),
        since=since,
        until=until,
    )
