"""`/api/pause` and `/api/resume`: the brake."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from openclaw_nats.api.json_answers import json_body, json_response
from openclaw_nats.audit.acting import actor
from openclaw_nats.contract import pauses as shapes
from openclaw_nats.contract.checking import check
from openclaw_nats.errors import InvalidInput
from openclaw_nats.inbound.pauses import Pauses
from openclaw_nats.settings import parse_duration

MAX_BODY = 8192


class PauseEndpoints:
    """The handlers. `sending` counts what is in progress, `expiring` names routes whose events may expire meanwhile."""

    def __init__(self, pauses: Pauses, *, sending: Callable[[], int], expiring: Callable[[], list[str]]) -> None:
        self._pauses = pauses
        self._sending = sending
        self._expiring = expiring

    async def pause(self, request: Request) -> Response:
        """GET: what is paused. POST: pause; when the answer comes, nothing new begins."""
        if request.method != "POST":
            return self._answer()
        asked = check(await json_body(request, MAX_BODY), shapes.PauseRequest, "a pause", InvalidInput)
        try:
            lasts = None if asked.lasts is None else parse_duration(asked.lasts)
        except ValueError as error:
            raise InvalidInput(f"for must be {error}", field="for") from None
        await self._pauses.pause(asked.route, lasts, asked.reason, actor(), everything=asked.everything)
        names = [one for one in self._expiring() if asked.route in (None, one)]
        return self._answer(names or UNSET)

    async def resume(self, request: Request) -> Response:
        """End the pause of one route, or the one of all routes."""
        asked = check(await json_body(request, MAX_BODY), shapes.ResumeRequest, "the body", InvalidInput)
        await self._pauses.resume(asked.route, actor())
        return self._answer()

    def _answer(self, expiring: list[str] | UnsetType = UNSET) -> Response:
        found = shapes.Pauses(pauses=self._pauses.every(), sending=self._sending(), expiring=expiring)
        return json_response(found)
