"""`/api/audit`: who did what, and whether the log of it is complete."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from openclaw_nats.api.json_answers import json_body, json_response
from openclaw_nats.api.problems import Malformed
from openclaw_nats.api.queries import limit_of, moment_of, number_of, parameters
from openclaw_nats.audit.act import Act
from openclaw_nats.audit.trail import AuditTrail
from openclaw_nats.contract import audit as shapes
from openclaw_nats.contract.checking import check

MAX_BODY = 256 * 1024
_LONGEST_SEARCH = 512


class AuditEndpoints:
    """The handlers, around the log."""

    def __init__(self, trail: AuditTrail) -> None:
        self._trail = trail

    async def records(self, request: Request) -> Response:
        """GET: records, the newest first. POST: what a command does that does not go through the sidecar."""
        if request.method == "POST":
            asked = check(await json_body(request, MAX_BODY), shapes.AuditNote, "the body", Malformed)
            given = msgspec.structs.asdict(asked)
            number = await self._trail.note(Act(what=given.pop("act"), **given))
            return json_response(shapes.AuditNoted(number), 201)
        query = parameters(request, ("since", "search", "limit", "cursor"))
        search, limit = query.get("search", ""), limit_of(query)
        if len(search) > _LONGEST_SEARCH:
            raise Malformed(f"search must be at most {_LONGEST_SEARCH} characters", field="search")
        found = await self._trail.records(
            since=moment_of(query["since"], "since") if "since" in query else None,
            search=search,
            cursor=number_of(query["cursor"], "cursor") if "cursor" in query else None,
            limit=limit,
        )
        following = str(found[-1].number) if len(found) == limit else None
        return json_response(shapes.AuditLog(found, following))

    async def verify(self, request: Request) -> Response:
        """Whether the log is complete."""
        parameters(request, ())
        return json_response(await self._trail.state())
