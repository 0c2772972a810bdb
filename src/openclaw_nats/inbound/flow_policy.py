"""A route's flow and retry settings, worked out in seconds and numbers."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo

from openclaw_nats.contract.routes import DEFAULT_BACKOFF, CostLimit, Flow, QuietHours, Retry
from openclaw_nats.errors import InvalidRoute
from openclaw_nats.inbound import quiet_hours
from openclaw_nats.inbound.groups import Policy
from openclaw_nats.inbound.target import Target
from openclaw_nats.settings import parse_duration

_BATCH_SIZE, _BATCH_WAIT = 50, 10.0
_YEAR = 366 * 86400
COSTS_KEPT = 31 * 86400  # how long what turns have cost is known, in seconds
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


def policy_of(flow: Flow, expires_after: str | None, target: Target) -> Policy:
    """How fast events go out to a target; raise InvalidRoute."""
    if flow.max_wait is not None and flow.debounce is None:
        raise _wrong("flow.maxWait", "is the longest wait of a debounce; flow.debounce is missing")
    debounce = _seconds(flow.debounce, "flow.debounce")
    max_wait = _seconds(flow.max_wait, "flow.maxWait") or debounce * 10
    if max_wait < debounce:
        raise _wrong("flow.maxWait", "is shorter than flow.debounce")
    batch, rate, budget = flow.batch, flow.rate, flow.budget
    if batch is not None and batch.size is None and batch.wait is None:
        raise _wrong("flow.batch", "must have size, wait or both")
    return Policy(
        debounce=debounce,
        max_wait=max_wait,
        batch_size=(batch.size or _BATCH_SIZE) if batch else 0,
        batch_wait=_seconds(batch.wait, "flow.batch.wait", _BATCH_WAIT) if batch else 0.0,
        rate_count=rate.count if rate else 0,
        rate_per=_seconds(rate.per, "flow.rate.per") if rate else 0.0,
        concurrency=flow.concurrency or 1,
        quiet=quiet_of(flow.quiet_hours) if flow.quiet_hours else None,
        cost=budget.cost if budget else 0.0,
        cost_per=_cost_per(budget, target) if budget else 0.0,
        expires_after=_seconds(expires_after, "expiresAfter"),
        digest=target.is_turn,
        turn=target.is_turn,
    )


def backoff_of(retry: Retry) -> tuple[float, ...]:
    """The waits between attempts, in seconds; raise InvalidRoute."""
    waits = retry.backoff if retry.backoff is not None else DEFAULT_BACKOFF
    found = [_seconds(wait, f"retry.backoff[{at}]") for at, wait in enumerate(waits)]
    attempts = retry.attempts or len(found) + 1
    while len(found) < attempts - 1:
        found.append(found[-1] if found else 5.0)
    return tuple(found[: attempts - 1])


def _seconds(value: str | None, field: str, otherwise: float = 0.0) -> float:
    if value is None:
        return otherwise
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise _wrong(field, f"must be {error}, not {value[:40]!r}") from None
    if seconds > _YEAR:
        raise _wrong(field, "is longer than a year")
    return seconds


def _cost_per(budget: CostLimit, target: Target) -> float:
    if not target.is_turn:
        raise _wrong("flow.budget", f"is for agents, and the target is a {target.kind}", "Leave it out.")
    seconds = _seconds(budget.per, "flow.budget.per")
    if not 60 <= seconds <= COSTS_KEPT:
        raise _wrong("flow.budget.per", f"must be 1m to {COSTS_KEPT // 86400}d")
    return seconds


def quiet_of(given: QuietHours, field: str = "flow.quietHours") -> quiet_hours.QuietHours:
    """Hours of the day in which nothing goes out; raise InvalidRoute that names `field`."""
    begin, end = _minutes(given.begin, f"{field}.from"), _minutes(given.to, f"{field}.to")
    if begin == end:
        raise _wrong(f"{field}.from", "and to are equal")
    zone = given.timezone if given.timezone is not None else "UTC"
    try:
        return quiet_hours.QuietHours(begin, end, ZoneInfo(zone))
    except (KeyError, ValueError, TypeError, OSError):
        raise _wrong(
            f"{field}.timezone", f"{zone[:40]!r} is not an IANA time zone", "Example: Europe/Amsterdam."
        ) from None


def _minutes(value: str, field: str) -> int:
    match = _CLOCK.fullmatch(value)
    if not match:
        raise _wrong(field, "must be a time such as 22:00")
    return int(match[1]) * 60 + int(match[2])


def _wrong(field: str, what: str, hint: str = "") -> InvalidRoute:
    return InvalidRoute(f"{field} {what}", hint=hint, field=field)
