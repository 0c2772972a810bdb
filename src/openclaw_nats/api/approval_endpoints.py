"""`/api/approvals`: guarded calls that wait for the operator's answer. No agent's tool leads here."""

from __future__ import annotations

from typing import get_args

from starlette.requests import Request
from starlette.responses import Response

from openclaw_nats.api.json_answers import json_body, json_response
from openclaw_nats.api.problems import Malformed
from openclaw_nats.api.queries import limit_of, number_of, parameters
from openclaw_nats.audit.acting import actor
from openclaw_nats.contract import approvals as shapes
from openclaw_nats.contract.checking import check
from openclaw_nats.errors import InvalidInput
from openclaw_nats.inbound.approvals import Approvals

MAX_BODY = 4096
STATES = get_args(shapes.ApprovalState)
_LARGEST = 2**62


class ApprovalEndpoints:
    """The handlers."""

    def __init__(self, approvals: Approvals) -> None:
        self._approvals = approvals

    async def every(self, request: Request) -> Response:
        """A list: those that wait, or with `state` others, or `all`."""
        query = parameters(request, ("state", "limit", "cursor"))
        state = query.get("state", "pending")
        if state not in (*STATES, "all"):
            raise Malformed(f"state must be one of {', '.join(STATES)}, or all, not {state[:40]!r}")
        before = number_of(query["cursor"], "cursor") if query.get("cursor") else _LARGEST
        found = await self._approvals.every("" if state == "all" else state, before, limit_of(query))
        return json_response(found)

    async def one(self, request: Request) -> Response:
        """One of them."""
        return json_response(await self._approvals.one(_number(request)))

    async def approve(self, request: Request) -> Response:
        """Let the call run once, or with `always` such calls for good."""
        body = await json_body(request, MAX_BODY) if _has_body(request) else {}
        asked = check(body, shapes.ApproveRequest, "an answer", InvalidInput)
        found = await self._approvals.approve(_number(request), actor(), always=asked.always)
        return json_response(found)

    async def deny(self, request: Request) -> Response:
        """The call stays refused."""
        return json_response(await self._approvals.deny(_number(request), actor()))


def _number(request: Request) -> int:
    return number_of(request.path_params["id"], "id")


def _has_body(request: Request) -> bool:
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
