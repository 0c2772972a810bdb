"""The part of the OpenAPI document that is about the certificate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openclaw_nats.contract import verify
from openclaw_nats.contract.schemas import ref


def paths(
    operation: Callable[..., dict[str, Any]],
    parameter: Callable[..., dict[str, Any]],
    json: Callable[..., dict[str, Any]],
) -> dict[str, Any]:
    """The paths, made with the helpers of openapi.py."""
    answer = json(ref(verify.CertificateState))
    return {
        "/api/certificate": {
            "get": operation(
                "The newest certificate, and what was stored on each day", answer=answer, problems=(400, 503)
            ),
            "post": operation(
                "Compare the stream with what was recorded of it",
                answer=answer,
                status="202",
                problems=(400, 409, 503),
                parameters=[parameter("since", "query", {"type": "string", "pattern": r"^\d{1,4}(ms|s|m|h|d)$"})],
            ),
        },
    }
