"""`/api/fleet`: all sidecars on one NATS."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from openclaw_nats.api.json_answers import json_response
from openclaw_nats.api.queries import parameters
from openclaw_nats.fleet.members import Members


class FleetEndpoints:
    """The handlers, around the view of the fleet."""

    def __init__(self, members: Members) -> None:
        self._members = members

    async def fleet(self, request: Request) -> Response:
        """Who is there, how each is, and who should be there and does not answer."""
        parameters(request, ())
        return json_response(await self._members.look())
