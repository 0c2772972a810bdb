"""The OpenAPI document: written beside the code that it describes, held to it by schemathesis in the tests."""

from __future__ import annotations

from typing import Any

from openclaw_nats import __version__
from openclaw_nats.api import openapi_dashboard, openapi_inbound, openapi_schedules
from openclaw_nats.api.ingest_endpoints import BATCH_TYPES, NDJSON, RETRY_HEADER
from openclaw_nats.api.openapi_answers import ANSWERS, ref
from openclaw_nats.api.problems import CONTENT_TYPE, PROBLEMS
from openclaw_nats.events import modes
from openclaw_nats.events.subjects import MAX_BYTES

_SUBJECT = {
    "type": "string",
    "maxLength": MAX_BYTES,
    "pattern": r"^agent\.events(\.[^\s.*>]+)+$",
    "example": "agent.events.custom.door.opened",
}
_PRIORITY = {"type": "integer", "minimum": 1, "maximum": 10, "default": 5}
_EVENT = {
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1, "maxLength": 256},
        "source": {"type": "string", "minLength": 1, "maxLength": 1024},
        "type": {"type": "string", "minLength": 1, "maxLength": 1024},
        "subject": _SUBJECT,
        "time": {"type": "string", "format": "date-time"},
        "priority": _PRIORITY,
        "data": {},
    },
}
_PUBLISH = {
    "type": "object",
    "required": ["subject", "payload"],
    "properties": {
        "subject": _SUBJECT,
        "payload": {},
        "id": {"type": "string", "minLength": 1, "maxLength": 256},
        "type": {"type": "string", "minLength": 1, "maxLength": 1024},
        "priority": _PRIORITY,
        "sessionKey": {"type": "string", "maxLength": 512},
        "meta": {
            "type": "object",
            "properties": {
                "priority": _PRIORITY,
                "traceId": {"type": "string", "maxLength": 512},
                "correlationId": {"type": "string", "maxLength": 512},
            },
        },
    },
}
_PUBLISHED = {
    "type": "object",
    "required": ["id", "subject", "sequence", "duplicate"],
    "properties": {
        "id": {"type": "string"},
        "subject": {"type": "string"},
        "sequence": {"type": "integer"},
        "duplicate": {"type": "boolean"},
        "routes": {"type": "array", "items": {"type": "string"}},
    },
}
_NONCE = {
    "name": "nonce",
    "in": "query",
    "required": True,
    "schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
}
_PROOF = {
    "type": "object",
    "required": ["nonce", "address", "proof"],
    "properties": {name: {"type": "string"} for name in ("nonce", "address", "proof")},
}
_OUTCOME = {
    "type": "object",
    "required": ["accepted", "duplicates", "rejected", "filtered"],
    "properties": {
        "accepted": {"type": "integer"},
        "duplicates": {"type": "integer"},
        "filtered": {"type": "integer"},
        "id": {"type": "string"},
        "subject": {"type": "string"},
        "rejected": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "error"],
                "properties": {
                    "index": {"type": "integer", "description": "place among the events, from 0"},
                    "line": {"type": "integer", "description": "of NDJSON: the line in the body, from 1"},
                    "error": {"type": "string"},
                },
            },
        },
    },
}
_REPORT = {
    "type": "object",
    "required": ["pluginVersion"],
    "properties": {"pluginVersion": {"type": "string"}, "spool": {"type": "object"}},
}


def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "openclaw-nats sidecar", "version": __version__},
        "components": {
            "securitySchemes": {"apiKey": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Problem": _problem_schema(), **ANSWERS},
        },
        "security": [{"apiKey": []}],
        "paths": {
            "/api/publish": {
                "post": _operation(
                    "Store one event",
                    body={"application/json": _PUBLISH, modes.STRUCTURED[1]: _EVENT},
                    answer=_json(_PUBLISHED),
                    problems=(400, 408, 413, 415, 422, 503),
                    parameters=[
                        _parameter("subject", "query", _SUBJECT),
                        _parameter("routes", "query", {"type": "string", "enum": ["true", "false"]}),
                    ],
                )
            },
            "/api/events": {
                "post": _operation(
                    "Store CloudEvents: one in each mode of the HTTP binding, or many",
                    body={kind: _events_as(kind) for kind in BATCH_TYPES if kind != "application/cloudevents"},
                    answer=_json(_OUTCOME),
                    problems=(400, 408, 413, 415, 422, 503),
                    parameters=[
                        _parameter("subject", "query", _SUBJECT),
                        _parameter(RETRY_HEADER, "header", {"type": "string", "format": "date-time"}),
                    ],
                ),
                "get": _operation(
                    "Read the stream",
                    answer={"application/x-ndjson": {"schema": {"type": "string"}}},
                    problems=(400, 422, 503),
                    parameters=[
                        _parameter("subject", "query", {"type": "string", "example": "agent.events.tool.>"}),
                        _parameter("since", "query", {"type": "string", "pattern": r"^\d{1,6}(ms|s|m|h|d)$"}),
                        _parameter("limit", "query", {"type": "integer", "minimum": 0, "maximum": 999999999}),
                        _parameter("follow", "query", {"type": "string", "enum": ["false"]}),
                        _parameter("numbered", "query", {"type": "string", "enum": ["true", "false"]}),
                    ],
                ),
            },
            "/api/proof": {
                "get": {
                    **_operation(
                        "Proof that this sidecar knows the API key, and the right to speak on this connection",
                        answer=_json(_PROOF),
                        problems=(400,),
                        parameters=[
                            {
                                **_parameter("nonce", "query", {"type": "string", "pattern": "^[0-9a-f]{64}$"}),
                                "required": True,
                            }
                        ],
                    ),
                    "security": [],
                }
            },
            "/api/plugin/report": {
                "post": _operation(
                    "The plugin's report of itself",
                    body={"application/json": _REPORT},
                    status="204",
                    problems=(400, 408, 413, 415, 422),
                )
            },
            **openapi_inbound.paths(_operation, _parameter, _json),
            **openapi_schedules.paths(_operation, _parameter, _json),
            **openapi_dashboard.paths(_operation, _parameter, _json),
            "/api/health": {"get": _health()},
            "/metrics": {
                "get": _operation("Prometheus metrics", answer={"text/plain": {"schema": {"type": "string"}}})
            },
            "/api/openapi.json": {"get": _operation("This document", answer=_json({"type": "object"}))},
        },
    }


def _health() -> dict[str, Any]:
    found = _operation("Up (200) or down (503); with the key, each part", answer=_json(ref("Health")))
    found["responses"]["503"] = {"description": "Events can't be stored now", "content": _json(ref("Health"))}
    return {**found, "security": []}


def _operation(
    summary: str,
    *,
    body: dict[str, Any] | None = None,
    answer: dict[str, Any] | None = None,
    status: str = "200",
    problems: tuple[int, ...] = (),
    parameters: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    answers: dict[str, Any] = {status: {"description": "Done", **({"content": answer} if answer else {})}}
    for code in (401, 404, 405, 431, *problems):
        reference = {"schema": {"$ref": "#/components/schemas/Problem"}}
        titles = [title for number, title in PROBLEMS.values() if number == code]
        answers[str(code)] = {"description": titles[0], "content": {CONTENT_TYPE: reference}}
    found: dict[str, Any] = {"summary": summary, "responses": answers}
    if body is not None:
        found["requestBody"] = {
            "required": True,
            "content": {kind: {"schema": schema} for kind, schema in body.items()},
        }
    if parameters:
        found["parameters"] = parameters
    return found


def _events_as(kind: str) -> dict[str, Any]:
    """What a body of a content type is at POST /api/events."""
    if kind in NDJSON:
        return {"type": "string"}
    return _EVENT if kind in modes.STRUCTURED else {"type": "array", "items": _EVENT}


def _parameter(name: str, where: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": where, "required": False, "schema": schema}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _problem_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "hint": {"type": "string"},
        },
    }
