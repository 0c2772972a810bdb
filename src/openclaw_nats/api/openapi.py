"""The OpenAPI document: its shapes are the contract's structs, which the API decodes and encodes."""

from __future__ import annotations

from typing import Any

from openclaw_nats import __version__
from openclaw_nats.api import (
    openapi_alerts,
    openapi_audit,
    openapi_dashboard,
    openapi_expectations,
    openapi_fleet,
    openapi_history,
    openapi_inbound,
    openapi_runs,
    openapi_schedules,
    openapi_sources,
    openapi_verify,
)
from openclaw_nats.api.ingest_endpoints import BATCH_TYPES, NDJSON, RETRY_HEADER
from openclaw_nats.api.problems import CONTENT_TYPE, PROBLEMS
from openclaw_nats.contract import events, health, plugin
from openclaw_nats.contract.problems import Problem
from openclaw_nats.contract.schemas import components, ref
from openclaw_nats.events import modes
from openclaw_nats.events.subjects import MAX_BYTES

_SUBJECT = {"type": "string", "maxLength": MAX_BYTES, "pattern": r"^agent\.events(\.[^\s.*>]+)+$"}


def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "openclaw-nats sidecar", "version": __version__},
        "components": {
            "securitySchemes": {"apiKey": {"type": "http", "scheme": "bearer"}},
            "schemas": components(),
        },
        "security": [{"apiKey": []}],
        "paths": {
            "/api/publish": {
                "post": _operation(
                    "Store one event",
                    body={"application/json": ref(events.PublishRequest), modes.STRUCTURED[1]: ref(events.CloudEvent)},
                    answer=_json(ref(events.Published)),
                    problems=(400, 403, 408, 413, 415, 422, 503),
                    parameters=[
                        _parameter("subject", "query", _SUBJECT),
                        _parameter("origin", "query", {"type": "string", "enum": ["outside"]}),
                        _parameter("routes", "query", {"type": "string", "enum": ["true", "false"]}),
                    ],
                )
            },
            "/api/events": {
                "post": _operation(
                    "Store CloudEvents: one in each mode of the HTTP binding, or many",
                    body={kind: _events_as(kind) for kind in BATCH_TYPES if kind != "application/cloudevents"},
                    answer=_json(ref(events.Ingested)),
                    problems=(400, 403, 408, 413, 415, 422, 503),
                    parameters=[
                        _parameter("subject", "query", _SUBJECT),
                        _parameter("origin", "query", {"type": "string", "enum": ["outside"]}),
                        _parameter(RETRY_HEADER, "header", {"type": "string", "format": "date-time"}),
                    ],
                ),
                "get": _operation(
                    "Read the stream",
                    answer={"application/x-ndjson": {"schema": {"type": "string"}}},
                    problems=(400, 403, 422, 503),
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
                        answer=_json(ref(plugin.Proof)),
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
                    body={"application/json": ref(plugin.PluginReport)},
                    status="204",
                    problems=(400, 408, 413, 415, 422),
                )
            },
            **openapi_inbound.paths(_operation, _parameter, _json),
            **openapi_schedules.paths(_operation, _parameter, _json),
            **openapi_alerts.paths(_operation, _parameter, _json),
            **openapi_audit.paths(_operation, _parameter, _json),
            **openapi_sources.paths(_operation, _parameter, _json),
            **openapi_fleet.paths(_operation, _json),
            **openapi_verify.paths(_operation, _parameter, _json),
            **openapi_history.paths(_operation, _parameter, _json),
            **openapi_runs.paths(_operation, _parameter, _json),
            **openapi_expectations.paths(_operation, _parameter, _json),
            **openapi_dashboard.paths(_operation, _parameter, _json),
            "/api/health": {"get": _health()},
            "/metrics": {
                "get": _operation("Prometheus metrics", answer={"text/plain": {"schema": {"type": "string"}}})
            },
            "/api/openapi.json": {"get": _operation("This document", answer=_json({"type": "object"}))},
        },
    }


def _health() -> dict[str, Any]:
    found = _operation("Up (200) or down (503); with the key, each part", answer=_json(ref(health.Health)))
    found["responses"]["503"] = {"description": "Events can't be stored now", "content": _json(ref(health.Health))}
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
        reference = {"schema": ref(Problem)}
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
    one = ref(events.CloudEvent)
    return one if kind in modes.STRUCTURED else {"type": "array", "items": one}


def _parameter(name: str, where: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": where, "required": False, "schema": schema}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
