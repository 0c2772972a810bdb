"""`/api/certificate`: whether the stream holds what was recorded of it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from openclaw_nats.api.json_answers import json_response
from openclaw_nats.api.queries import moment_of, parameters
from openclaw_nats.reconcile.certificates import Certificates


class VerifyEndpoints:
    """The handlers, around the certificates."""

    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates

    async def certificate(self, request: Request) -> Response:
        """GET: the newest certificate and the days. POST: have one made; 202, and GET says when it is there."""
        if request.method == "POST":
            query = parameters(request, ("since",))
            self._certificates.ask(moment_of(query["since"], "since") if "since" in query else None)
            return json_response(await self._certificates.state(), 202)
        parameters(request, ())
        return json_response(await self._certificates.state())
