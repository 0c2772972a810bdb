"""`/api/events/…`: looking through the whole stream by its index."""

from __future__ import annotations

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from openclaw_nats.api.json_answers import json_body, json_response
from openclaw_nats.api.problems import Malformed
from openclaw_nats.api.queries import limit_of, moment_of, number_of, parameters
from openclaw_nats.audit.act import Act
from openclaw_nats.audit.trail import Trail
from openclaw_nats.contract.checking import check
from openclaw_nats.contract.history import ReindexRequest
from openclaw_nats.errors import InvalidInput
from openclaw_nats.events.searchable import terms_of
from openclaw_nats.events.subjects import PROBE, check_pattern
from openclaw_nats.insight.history import History
from openclaw_nats.insight.indexer import Indexer
from openclaw_nats.storage.event_search import Wanted

FILTERS = ("subject", "kind", "agent", "session", "run", "origin", "text", "since", "until", "failed", "probes")
LONGEST = 512
_NAMES = ("agent", "session", "run", "origin")
_KIND = re.compile(r"[^\s.*>]+")
_FLAGS = {"true": True, "false": False}


class SearchEndpoints:
    """The handlers."""

    def __init__(self, history: History, indexer: Indexer, trail: Trail) -> None:
        self._history = history
        self._indexer = indexer
        self._trail = trail

    async def search(self, request: Request) -> Response:
        """A page of events, the newest first."""
        query = parameters(request, (*FILTERS, "cursor", "limit"))
        cursor = number_of(query["cursor"], "cursor") if "cursor" in query else None
        return json_response(await self._history.search(wanted_of(query), cursor, limit_of(query)))

    async def histogram(self, request: Request) -> Response:
        """How many events there are in each part of the range."""
        return json_response(await self._history.histogram(wanted_of(parameters(request, FILTERS))))

    async def names(self, request: Request) -> Response:
        """What events can be filtered by."""
        parameters(request, ())
        return json_response(await self._history.names())

    async def reindex(self, request: Request) -> Response:
        """Make the index again, from the stream."""
        check(await json_body(request, 4096), ReindexRequest, "the body", InvalidInput)
        async with self._trail.around(Act("events.reindex")):
            await self._indexer.reindex()
        return Response(status_code=204)


def wanted_of(query: dict[str, str]) -> Wanted:
    """The filters of a query; raise Malformed or InvalidSubject, which say what is wrong."""
    given: dict[str, Any] = {}
    for name in (*_NAMES, "text", "kind"):
        if len(value := query.get(name, "")) > LONGEST:
            raise Malformed(f"{name} must be at most {LONGEST} characters", field=name)
        if name != "text" and value:
            given[name] = value
    if "kind" in given and not _KIND.fullmatch(given["kind"]):
        raise Malformed("kind must be the first word of a subject, such as tool", field="kind")
    if query.get("subject"):
        given["subject"] = check_pattern(query["subject"])
    for name in ("since", "until"):
        if query.get(name):
            given[name] = max(0, round(moment_of(query[name], name) * 1000))
    for name in ("failed", "probes"):
        if (value := query.get(name, "false")) not in _FLAGS:
            raise Malformed(f"{name} must be true or false", field=name)
        given[name] = _FLAGS[value]
    given["probes"] = given["probes"] or given.get("subject") == PROBE
    return Wanted(**given, terms=terms_of(query.get("text", "")))
