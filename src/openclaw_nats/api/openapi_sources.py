"""The part of the OpenAPI document that is about sources."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openclaw_nats.contract import sources
from openclaw_nats.contract.schemas import as_json, ref


def paths(
    operation: Callable[..., dict[str, Any]],
    parameter: Callable[..., dict[str, Any]],
    json: Callable[..., dict[str, Any]],
) -> dict[str, Any]:
    """The paths, made with the helpers of openapi.py."""
    name = parameter("name", "path", {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,31}$"})
    changing = (400, 404, 408, 413, 415, 422)
    return {
        "/api/sources": {
            "get": operation("All sources", answer=json(ref(sources.Sources)), problems=(400,)),
            "post": operation(
                "Make a source",
                body=as_json(ref(sources.SourceRequest)),
                answer=json(ref(sources.Source)),
                status="201",
                problems=(400, 403, 408, 409, 413, 415, 422, 503),
            ),
        },
        "/api/source-types": {
            "get": operation("The types of sources", answer=json(ref(sources.SourceKinds)), problems=(400,))
        },
        "/api/sources/{name}": {
            "parameters": [name],
            "get": operation("A source, with its last requests", answer=json(ref(sources.Source)), problems=(404,)),
            "patch": operation(
                "Change a source",
                body=as_json(ref(sources.SourceChange)),
                answer=json(ref(sources.Source)),
                problems=(403, *changing, 503),
            ),
            "delete": operation("Remove a source", status="204", problems=(404, 503)),
        },
        "/api/sources/{name}/rotate": {
            "parameters": [name],
            "post": operation(
                "A new secret",
                body=as_json(ref(sources.RotateRequest)),
                answer=json(ref(sources.Source)),
                problems=(*changing, 503),
            ),
        },
        "/api/quarantine": {
            "get": operation(
                "What came to sources that nothing verifies",
                answer=json(ref(sources.Quarantines)),
                problems=(400, 404, 503),
                parameters=[
                    parameter("source", "query", {"type": "string"}),
                    parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 1000}),
                ],
            )
        },
        "/api/quarantine/release": {
            "post": operation(
                "Make events of what waits there",
                body=as_json(ref(sources.QuarantineRequest)),
                answer=json(ref(sources.QuarantineDone)),
                problems=(*changing, 503),
            )
        },
        "/api/quarantine/drop": {
            "post": operation(
                "Forget what waits there",
                body=as_json(ref(sources.QuarantineRequest)),
                answer=json(ref(sources.QuarantineDone)),
                problems=(*changing, 503),
            )
        },
        "/api/quarantine/{number}": {
            "parameters": [parameter("number", "path", {"type": "string", "pattern": r"^\d{1,18}$"})],
            "get": operation("One of them, whole", answer=json(ref(sources.Quarantined)), problems=(400, 404, 503)),
        },
        "/api/sources/{name}/test": {
            "parameters": [name],
            "post": operation(
                "Send a signed sample through the door; of a watcher, what it sees now",
                answer=json(ref(sources.SourceTested)),
                problems=(400, 404, 422, 503),
            ),
        },
    }
