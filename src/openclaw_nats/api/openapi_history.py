"""The part of the OpenAPI document about looking through the stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openclaw_nats.api.search_endpoints import LONGEST
from openclaw_nats.contract import history
from openclaw_nats.contract.schemas import as_json, ref

_TEXT = {"type": "string", "maxLength": LONGEST}
_FLAG = {"type": "string", "enum": ["true", "false"]}
_MOMENT = {
    "anyOf": [{"type": "string", "pattern": r"^\d{1,4}(ms|s|m|h|d)$"}, {"type": "string", "format": "date-time"}]
}
SCHEMAS: dict[str, dict[str, Any]] = {
    "subject": {"type": "string", "example": "agent.events.tool.>"},
    "kind": {"type": "string", "maxLength": LONGEST, "pattern": r"^[A-Za-z0-9_-]+$"},
    "agent": _TEXT,
    "session": _TEXT,
    "run": _TEXT,
    "origin": _TEXT,
    "text": _TEXT,
    "since": _MOMENT,
    "until": _MOMENT,
    "failed": _FLAG,
    "probes": _FLAG,
}


def paths(
    operation: Callable[..., dict[str, Any]],
    parameter: Callable[..., dict[str, Any]],
    json: Callable[..., dict[str, Any]],
) -> dict[str, Any]:
    """The paths, made with the helpers of openapi.py."""
    filters = [parameter(name, "query", schema) for name, schema in SCHEMAS.items()]
    return {
        "/api/events/search": {
            "get": operation(
                "Events of the whole stream, newest first",
                answer=json(ref(history.EventPage)),
                problems=(400, 422, 503),
                parameters=[
                    *filters,
                    parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 1000}),
                    parameter("cursor", "query", {"type": "string", "pattern": r"^\d{1,18}$"}),
                ],
            )
        },
        "/api/events/histogram": {
            "get": operation(
                "How many events there are in each part of a range",
                answer=json(ref(history.EventHistogram)),
                problems=(400, 422, 503),
                parameters=filters,
            )
        },
        "/api/events/names": {
            "get": operation(
                "What events can be filtered by", answer=json(ref(history.EventNames)), problems=(400, 503)
            )
        },
        "/api/events/reindex": {
            "post": operation(
                "Make the index of the stream again",
                body=as_json(ref(history.ReindexRequest)),
                status="204",
                problems=(400, 408, 413, 415, 422, 503),
            )
        },
    }
