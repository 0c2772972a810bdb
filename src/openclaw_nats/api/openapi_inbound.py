"""The part of the OpenAPI document that tells of routes, deliveries and the plugin's channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openclaw_nats.api.openapi_answers import ref
from openclaw_nats.inbound.route import CONFIRMATIONS, KINDS
from openclaw_nats.storage.rows import OPEN, STATES

_DURATION = {"type": "string", "pattern": r"^\d{1,6}(ms|s|m|h|d)$", "example": "30s"}
_TARGET = {
    "oneOf": [
        {"type": "string", "minLength": 1, "maxLength": 400, "example": "main"},
        {
            "type": "object",
            "required": ["kind"],
            "properties": {
                "kind": {"enum": list(KINDS)},
                "sessionKey": {"type": "string"},
                "agentId": {"type": "string"},
                "url": {"type": "string"},
                "secret": {"type": "string"},
                "subject": {"type": "string"},
            },
        },
    ]
}
_FLOW = {
    "type": "object",
    "properties": {
        "debounce": _DURATION,
        "maxWait": _DURATION,
        "batch": {"type": "object", "properties": {"size": {"type": "integer"}, "wait": _DURATION}},
        "rate": {"type": "object", "properties": {"count": {"type": "integer"}, "per": _DURATION}},
        "concurrency": {"type": "integer", "minimum": 1, "maximum": 1000},
        "key": {"type": "string", "description": "CEL: what waits is kept apart by its value"},
        "quietHours": {
            "type": "object",
            "properties": {"from": {"type": "string"}, "to": {"type": "string"}, "timezone": {"type": "string"}},
        },
    },
}
_FIELDS = {
    "pattern": {"type": "string", "maxLength": 255, "example": "agent.events.custom.door.>"},
    "target": _TARGET,
    "when": {"type": "string", "maxLength": 2000, "description": "CEL", "example": "data.state == 'open'"},
    "filter": {"type": "object", "description": "The upstream form: logic and conditions"},
    "template": {"type": "string", "maxLength": 20000, "description": "Jinja2"},
    "payload": {"type": "object"},
    "priority": {"type": "integer", "minimum": 1, "maximum": 10},
    "enabled": {"type": "boolean", "default": True},
    "flow": _FLOW,
    "retry": {
        "type": "object",
        "properties": {"backoff": {"type": "array", "items": _DURATION}, "attempts": {"type": "integer"}},
    },
    "confirm": {"enum": list(CONFIRMATIONS), "default": "ok"},
    "trusted": {"type": "boolean", "default": False},
    "expiresAfter": _DURATION,
    "until": {"type": "string", "format": "date-time", "description": "The route is removed then"},
}
ROUTE = {
    "type": "object",
    "required": ["name", "pattern", "target"],
    "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 128}, **_FIELDS},
}
_CHANGES = {"type": "object", "properties": _FIELDS}
_TEST = {
    "type": "object",
    "properties": {"event": {"type": "object"}, "since": _DURATION, "route": ROUTE},
}
_BULK = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("route", "subject", "session", "search", "since", "until")},
    "additionalProperties": False,
}
_RESULT = {
    "type": "object",
    "required": ["instance", "key", "status"],
    "properties": {name: {"type": "string"} for name in ("instance", "key", "status", "runId", "error", "reply")},
}


def paths(
    operation: Callable[..., dict[str, Any]],
    parameter: Callable[..., dict[str, Any]],
    json: Callable[..., dict[str, Any]],
) -> dict[str, Any]:
    """The paths, made with the helpers of openapi.py."""

    def in_path(name: str, schema: dict[str, Any]) -> dict[str, Any]:
        return {"name": name, "in": "path", "required": True, "schema": schema}

    def one_of(kind: str, schema: dict[str, Any], **methods: dict[str, Any]) -> dict[str, Any]:
        return {"parameters": [in_path(kind, schema)], **methods}

    def answer(summary: str, shape: str, *problems: int, **more: Any) -> dict[str, Any]:
        return operation(summary, answer=json(ref(shape)), problems=problems, **more)

    name = {"type": "string", "minLength": 1, "maxLength": 128}
    number = {"type": "string", "pattern": r"^\d{1,18}$"}
    text = {"type": "string", "maxLength": 512}
    filters = [parameter(one, "query", text) for one in ("route", "subject", "session", "search")]
    filters += [parameter(one, "query", _DURATION) for one in ("since", "until")]
    page = [
        parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 1000}),
        parameter("cursor", "query", {"type": "string", "pattern": r"^\d{1,18}$"}),
    ]
    body = (400, 408, 413, 415, 422, 503)
    state = parameter("state", "query", {"type": "string", "enum": list(OPEN)})
    any_state = parameter("state", "query", {"type": "string", "enum": list(STATES)})
    receipts = [one for one in filters if one["name"] in ("route", "since", "until")]
    create = answer("Create a route, or replace the one of that name", "Route", *body, body={"application/json": ROUTE})
    create["responses"]["201"] = {"description": "Created", "content": json(ref("Route"))}
    return {
        "/api/routes": {"get": answer("All routes, with counts", "Routes", 503), "post": create},
        "/api/routes/{name}": one_of(
            "name",
            name,
            get=answer("One route", "Route", 503),
            patch=answer(
                "Change fields; null takes one back to its default", "Route", *body, body={"application/json": _CHANGES}
            ),
            delete=operation("Remove it; what waits for it is dropped", status="204", problems=(503,)),
        ),
        "/api/routes/{name}/test": one_of(
            "name", name, post=answer("Dry run: what it would do", "DryRun", *body, body={"application/json": _TEST})
        ),
        "/api/deliveries": {
            "get": answer(
                "All deliveries, in whatever state",
                "Deliveries",
                400,
                503,
                parameters=[*filters, *page, parameter("event", "query", text), any_state],
            )
        },
        "/api/deliveries/{id}": one_of(
            "id", number, get=answer("One of them, with its history", "DeliveryDetail", 400, 503)
        ),
        "/api/pending": {
            "get": answer("What is under way", "Deliveries", 400, 503, parameters=[*filters, *page, state])
        },
        "/api/pending/{id}": one_of(
            "id", number, get=answer("One of them, with its history", "DeliveryDetail", 400, 503)
        ),
        "/api/pending/{id}/retry": one_of("id", number, post=answer("Try a failed one again now", "Retried", 400, 503)),
        "/api/pending/{id}/drop": one_of("id", number, post=answer("Drop it", "Dropped", 400, 503)),
        "/api/dead": {"get": answer("The dead letters", "Deliveries", 400, 503, parameters=[*filters, *page])},
        "/api/dead/redrive": {
            "post": answer("Let many wait again", "Redriven", *body, body={"application/json": _BULK})
        },
        "/api/dead/drop": {"post": answer("Drop many", "Dropped", *body, body={"application/json": _BULK})},
        "/api/dead/{id}": one_of("id", number, get=answer("One of them, with its history", "DeliveryDetail", 400, 503)),
        "/api/dead/{id}/redrive": one_of("id", number, post=answer("Let it wait again", "Redriven", 400, 503)),
        "/api/dead/{id}/drop": one_of("id", number, post=answer("Drop it", "Dropped", 400, 503)),
        "/api/receipts": {"get": answer("What was delivered", "Receipts", 400, 503, parameters=[*receipts, *page])},
        "/api/receipts/{id}": one_of("id", text, get=answer("One receipt, with its text", "ReceiptDetail", 503)),
        "/api/plugin/channel": {
            "get": operation(
                "The plugin's orders, as long as it listens",
                answer={"application/x-ndjson": {"schema": {"type": "string"}}},
                problems=(400,),
                parameters=[
                    {
                        **parameter("instance", "query", {"type": "string", "minLength": 8, "maxLength": 64}),
                        "required": True,
                    },
                    *(parameter(one, "query", {"type": "string"}) for one in ("run", "wake", "wraps")),
                ],
            )
        },
        "/api/plugin/probe": {
            "post": operation(
                "Let the plugin make a test event", answer=json(ref("Probe")), status="202", problems=(503,)
            )
        },
        "/api/plugin/results": {
            "post": operation(
                "What became of a run",
                body={"application/json": _RESULT},
                status="204",
                problems=(400, 408, 413, 415, 422),
            )
        },
    }
