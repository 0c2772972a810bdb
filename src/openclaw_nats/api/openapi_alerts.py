"""The part of the OpenAPI document that is about alerts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openclaw_nats.contract import alerts
from openclaw_nats.contract.schemas import as_json, ref


def paths(
    operation: Callable[..., dict[str, Any]],
    parameter: Callable[..., dict[str, Any]],
    json: Callable[..., dict[str, Any]],
) -> dict[str, Any]:
    """The paths, made with the helpers of openapi.py."""
    name = parameter("name", "path", {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,31}$"})
    limit = parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 1000})
    return {
        "/api/alerts": {
            "get": operation(
                "All alert channels, and what is wrong", answer=json(ref(alerts.Alerts)), problems=(400, 503)
            ),
            "post": operation(
                "Make an alert channel",
                body=as_json(ref(alerts.AlertChannelRequest)),
                answer=json(ref(alerts.AlertChannel)),
                status="201",
                problems=(400, 408, 409, 413, 415, 422, 503),
            ),
        },
        "/api/alerts/{name}": {
            "parameters": [name],
            "get": operation("An alert channel", answer=json(ref(alerts.AlertChannel)), problems=(404, 503)),
            "patch": operation(
                "Pause an alert channel, or end its pause",
                body=as_json(ref(alerts.AlertChannelChange)),
                answer=json(ref(alerts.AlertChannel)),
                problems=(400, 404, 408, 413, 415, 422, 503),
            ),
            "delete": operation("Remove an alert channel", status="204", problems=(404, 503)),
        },
        "/api/alerts/{name}/history": {
            "parameters": [name],
            "get": operation(
                "The messages to an alert channel",
                answer=json(ref(alerts.AlertHistory)),
                problems=(400, 404, 503),
                parameters=[limit],
            ),
        },
        "/api/alerts/{name}/test": {
            "parameters": [name],
            "post": operation("Send a test message", answer=json(ref(alerts.AlertTested)), problems=(404,)),
        },
    }
