"""`GET /api/events`: what is in the stream, as one CloudEvent a line; with `follow` it goes on as events come."""

from __future__ import annotations

import time
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Callable

import structlog
from starlette.requests import Request
from starlette.responses import StreamingResponse

from openclaw_nats.api.endless import EndlessResponse
from openclaw_nats.api.limits import key_of, readable
from openclaw_nats.api.problems import Malformed
from openclaw_nats.contract.keys import LimitedKey
from openclaw_nats.errors import Unavailable
from openclaw_nats.events.decoding import document_of
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.subjects import EVERYTHING, check_pattern
from openclaw_nats.ports import EventLog
from openclaw_nats.settings import parse_duration

log = structlog.get_logger(__name__)

MOST_READS = 8  # of one limited key
PARAMETERS = ("subject", "since", "limit", "follow", "numbered")


class HistoryEndpoints:
    """The handler, around one EventLog. `lasts` says whether a limited key still counts: what it reads ends with it."""

    def __init__(self, event_log: EventLog, lasts: Callable[[LimitedKey], bool] = lambda key: True) -> None:
        self._log = event_log
        self._lasts = lasts
        self._open: Counter[str] = Counter()  # reads that are under way, by limited key; the others together

    async def events(self, request: Request) -> StreamingResponse:
        """Stream stored events as NDJSON. Query: subject (pattern), since, limit (newest N), follow, numbered."""
        query = request.query_params
        if unknown := set(query) - set(PARAMETERS):
            raise Malformed(f"there is no parameter {min(unknown)[:40]!r}", hint="Known: " + ", ".join(PARAMETERS))
        follow, numbered = query.get("follow", "false"), query.get("numbered", "false")
        for name, value in (("follow", follow), ("numbered", numbered)):
            if value not in ("true", "false"):
                raise Malformed(f"{name} must be true or false")
        if follow == "true" and request.scope.get("session"):
            raise Malformed("follow is not for browsers", hint="/api/live is, and ends with the session.")
        limit = query.get("limit")
        if limit is not None and not (limit.isascii() and limit.isdigit() and 0 < len(limit) < 10):
            raise Malformed("limit must be a whole number from 0 to 999999999")
        key, subject = key_of(request), check_pattern(query.get("subject", EVERYTHING))
        if key is not None:
            subject = readable(key, subject if "subject" in query else None)
        if key is not None and self._open[key.name] >= MOST_READS:
            text = f"the key {key.name} reads over {MOST_READS} connections already"
            raise Unavailable(text, retry_after=5, hint="Close one of them first.")
        messages = self._log.read(
            subject=subject,
            since=_since(query.get("since")),
            limit=None if limit is None else int(limit),
            follow=follow == "true",
        )
        name = key.name if key is not None else ""
        self._open[name] += 1
        try:
            first = await _first(messages)
        except BaseException:
            self._end(name)
            raise
        response = EndlessResponse if follow == "true" else StreamingResponse
        lasts = (lambda: True) if key is None else (lambda: self._lasts(key))
        lines = _documents(first, messages, numbered == "true", lasts)
        weakref.finalize(lines, self._end, name)  # also when nobody ever asks for the first line
        return response(lines, media_type="application/x-ndjson")

    def _end(self, name: str) -> None:
        self._open[name] -= 1
        if not self._open[name]:
            del self._open[name]


def _since(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        return max(0.0, time.time() - parse_duration(value))
    except ValueError as error:
        raise Malformed(f"since must be {error}, not {value[:40]!r}") from None


async def _first(messages: AsyncIterator[StoredMessage | None]) -> list[StoredMessage | None]:
    """Read one message ahead, so that a stream that can't be read is a 503 and not an empty 200."""
    async for message in messages:
        return [message]
    return []


async def _documents(
    first: list[StoredMessage | None],
    messages: AsyncIterator[StoredMessage | None],
    numbered: bool,
    lasts: Callable[[], bool],
) -> AsyncIterator[bytes]:
    for message in first:
        yield _line(message, numbered)
    try:
        async for message in messages:
            if not lasts():
                return
            yield _line(message, numbered)
    except Unavailable as error:
        log.warning("history.interrupted", error=str(error))
        raise


def _line(message: StoredMessage | None, numbered: bool) -> bytes:
    """A message as a line: its document, or `{"sequence": …, "origin": …, "tainted": …, "event": <document>}`.

    One that a mistake of ours can't show is left out, and logged.
    """
    if message is None:
        return b"\n"  # nothing happens: readers skip it, and a connection that is gone is noticed
    try:
        document = document_of(message)
    except Exception as error:
        log.error("history.bug", sequence=message.sequence, error=repr(error), exc_info=True)
        return b"\n"
    if not numbered:
        return document + b"\n"
    tainted = b"true" if message.origin.tainted else b"false"
    said = b'"origin":"%s","tainted":%s' % (message.origin.name.encode(), tainted)
    return b'{"sequence":%d,%s,"event":%s}\n' % (message.sequence, said, document)
