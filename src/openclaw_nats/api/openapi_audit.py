"""The part of the OpenAPI document that is about the audit log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openclaw_nats.contract import audit
from openclaw_nats.contract.schemas import as_json, ref


def paths(
    operation: Callable[..., dict[str, Any]],
    parameter: Callable[..., dict[str, Any]],
    json: Callable[..., dict[str, Any]],
) -> dict[str, Any]:
    """The paths, made with the helpers of openapi.py."""
    return {
        "/api/audit": {
            "get": operation(
                "Who did what, the newest first",
                answer=json(ref(audit.AuditLog)),
                problems=(400, 503),
                parameters=[
                    parameter("since", "query", {"type": "string", "pattern": r"^\d{1,4}(ms|s|m|h|d)$"}),
                    parameter("search", "query", {"type": "string", "maxLength": 512}),
                    parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 1000}),
                    parameter("cursor", "query", {"type": "string", "pattern": r"^\d{1,18}$"}),
                ],
            ),
            "post": operation(
                "Write down what a command does without the sidecar",
                body=as_json(ref(audit.AuditNote)),
                answer=json(ref(audit.AuditNoted)),
                status="201",
                problems=(400, 408, 413, 415, 503),
            ),
        },
        "/api/audit/verify": {
            "get": operation("Whether the log is complete", answer=json(ref(audit.AuditState)), problems=(400, 503))
        },
    }
