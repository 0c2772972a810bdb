"""`/api/runs`: the list of agent runs."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from openclaw_nats.api.json_answers import json_response
from openclaw_nats.api.problems import Malformed
from openclaw_nats.api.queries import limit_of, number_of, parameters
from openclaw_nats.api.search_endpoints import LONGEST, wanted_of
from openclaw_nats.contract.runs import RUN_RESULTS
from openclaw_nats.insight.runs import Runs, RunsWanted

FILTERS = ("agent", "session", "since", "until")
MOST_RUNS = 200


class RunEndpoints:
    """The handler."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    async def list(self, request: Request) -> Response:
        """A page of runs, the newest first."""
        query = parameters(request, (*FILTERS, "route", "result", "cursor", "limit"))
        cursor = number_of(query["cursor"], "cursor") if "cursor" in query else None
        if len(route := query.get("route", "")) > LONGEST:
            raise Malformed(f"route must be at most {LONGEST} characters", field="route")
        result = next((one for one in RUN_RESULTS if one == query.get("result")), None)
        if result is None and query.get("result"):
            raise Malformed(f"result must be one of {', '.join(RUN_RESULTS)}", field="result")
        if (limit := limit_of({"limit": "50", **query})) > MOST_RUNS:
            raise Malformed(f"limit must be a whole number from 1 to {MOST_RUNS}", field="limit")
        events = wanted_of({name: query[name] for name in FILTERS if name in query})
        return json_response(await self._runs.page(RunsWanted(events, route, result), cursor, limit))
