"""`/api/checks`: what would be wrong with a route or a cron job, without saving it."""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from openclaw_nats.api.json_answers import json_body, json_response
from openclaw_nats.api.problems import Malformed
from openclaw_nats.contract.problems import Trouble
from openclaw_nats.contract.routes import RouteCheck, RouteDocument
from openclaw_nats.contract.schedules import CronCheck
from openclaw_nats.errors import OpenClawNatsError
from openclaw_nats.events.agents import Agents
from openclaw_nats.events.envelope import format_time
from openclaw_nats.inbound.route_check import check_route
from openclaw_nats.schedules.cron import Cron, next_runs
from openclaw_nats.schedules.document import parse_job

SHOWN_RUNS = 5


class CheckEndpoints:
    """The handlers. `timezone` is that of jobs that name none, `agents` who is on the Gateway, `find` a saved route."""

    def __init__(
        self,
        timezone: str,
        agents: Callable[[], Agents],
        find: Callable[[str], RouteDocument | None] = lambda name: None,
    ) -> None:
        self._find = find
        self._timezone = timezone
        self._agents = agents

    async def route(self, request: Request) -> Response:
        """Every problem of a route, by field; none when it could be saved."""
        return json_response(RouteCheck(check_route(await json_body(request), self._agents(), self._find)))

    async def cron(self, request: Request) -> Response:
        """Whether a cron job could be saved, and its next runs."""
        body = await json_body(request)
        if not isinstance(body, dict):
            raise Malformed("the body must be a JSON object")
        answer = CronCheck([], [], body.get("timezone") or self._timezone)
        try:
            document = parse_job(body)
            cron = Cron(document.cron, document.timezone or self._timezone)
            ticks = next_runs(cron, time.time(), SHOWN_RUNS)
            answer.next_runs = [format_time(round(tick * 1000)) for tick in ticks]
        except OpenClawNatsError as error:
            answer.problems.append(Trouble(error.field, str(error), error.hint))
        return json_response(answer)
