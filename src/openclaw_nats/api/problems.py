"""Errors as RFC 9457 problem documents: one table from error class to status, one place that writes them."""

from __future__ import annotations

import math

import msgspec
from msgspec import UNSET
from starlette.responses import Response

from openclaw_nats.contract.problems import Problem
from openclaw_nats.errors import (
    Conflict,
    Filtered,
    InvalidEvent,
    InvalidInput,
    InvalidRoute,
    InvalidSchedule,
    InvalidSubject,
    NotAllowed,
    NotFound,
    OpenClawNatsError,
    StreamConflict,
    TooLarge,
    Unavailable,
    Unsupported,
)

CONTENT_TYPE = "application/problem+json"

PROBLEMS: dict[str, tuple[int, str]] = {
    "malformed": (400, "The request can't be read"),
    "unauthorized": (401, "A valid API key is needed"),
    "not-verified": (401, "The request is not verified"),
    "signed-out": (401, "Sign in to the dashboard first"),
    "not-allowed": (403, "The operator's settings do not allow it"),
    "link-used-up": (403, "The sign-in link is no longer valid"),
    "cross-site": (403, "Only the dashboard's own pages may ask for this"),
    "not-found": (404, "There is nothing here"),
    "method-not-allowed": (405, "This method can't be used here"),
    "timeout": (408, "The request came too slowly"),
    "conflict": (409, "Somebody else changed it at the same moment"),
    "too-large": (413, "The request is too large"),
    "unsupported-media-type": (415, "This content type can't be read"),
    "invalid-event": (422, "The event is not valid"),
    "invalid-subject": (422, "The subject is not valid"),
    "invalid-route": (422, "The route is not valid"),
    "invalid-schedule": (422, "The cron job or timer is not valid"),
    "filtered": (422, "The subject is filtered"),
    "headers-too-large": (431, "The request's headers are too large"),
    "internal": (500, "The sidecar failed"),
    "unsupported": (501, "This nats-server is too old for it"),
    "unavailable": (503, "JetStream can't take events now"),
}

_BY_CLASS: tuple[tuple[type[OpenClawNatsError], str], ...] = (
    (InvalidSubject, "invalid-subject"),
    (InvalidEvent, "invalid-event"),
    (InvalidRoute, "invalid-route"),
    (InvalidSchedule, "invalid-schedule"),
    (NotAllowed, "not-allowed"),
    (Conflict, "conflict"),
    (NotFound, "not-found"),
    (TooLarge, "too-large"),
    (Filtered, "filtered"),
    (InvalidInput, "malformed"),
    (Unavailable, "unavailable"),
    (Unsupported, "unsupported"),
    (StreamConflict, "unavailable"),
)


class Malformed(InvalidInput):
    """The body is not what the endpoint reads."""


def name_of(error: OpenClawNatsError) -> str:
    """The problem's name for an error: its metrics label and the end of its `type`."""
    return next((name for kind, name in _BY_CLASS if isinstance(error, kind)), "internal")


def status_of(error: OpenClawNatsError) -> int:
    """The HTTP status for an error."""
    return PROBLEMS[name_of(error)][0]


def body_of(name: str, detail: str, hint: str = "", field: str = "") -> bytes:
    """The problem document as JSON bytes."""
    status, title = PROBLEMS[name]
    return msgspec.json.encode(
        Problem(f"urn:openclaw-nats:problem:{name}", title, status, detail, hint or UNSET, field or UNSET)
    )


def problem(
    name: str, detail: str, *, hint: str = "", field: str = "", headers: dict[str, str] | None = None
) -> Response:
    """A response that carries the problem `name`; `field` is the field of the request that is wrong."""
    return Response(body_of(name, detail, hint, field), PROBLEMS[name][0], headers, CONTENT_TYPE)


def problem_for(error: OpenClawNatsError) -> Response:
    """A response for one of our errors; Unavailable says in Retry-After when to come again."""
    headers = {"Retry-After": str(math.ceil(error.retry_after))} if isinstance(error, Unavailable) else None
    if isinstance(error, StreamConflict):
        headers = {"Retry-After": "30"}
    return problem(name_of(error), str(error), hint=error.hint, field=error.field, headers=headers)
