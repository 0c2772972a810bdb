"""JSON in and out, as most endpoints want it."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from openclaw_nats.api.bodies import decode_json, media_type, read_body

MAX_BODY = 256 * 1024
_any = msgspec.json.Decoder()


def json_response(value: Struct, status: int = 200) -> Response:
    """A JSON answer: one of the contract's structs."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


async def json_body(request: Request, limit: int = MAX_BODY) -> Any:
    """The request's JSON, of at most `limit` bytes."""
    media_type(request, ("application/json",))
    return decode_json(_any, await read_body(request, limit))
