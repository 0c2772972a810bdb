"""The part of the OpenAPI document about agent runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openclaw_nats.api.openapi_history import SCHEMAS
from openclaw_nats.api.run_endpoints import FILTERS, MOST_RUNS
from openclaw_nats.contract import runs
from openclaw_nats.contract.schemas import ref


def paths(
    operation: Callable[..., dict[str, Any]],
    parameter: Callable[..., dict[str, Any]],
    json: Callable[..., dict[str, Any]],
) -> dict[str, Any]:
    """The paths, made with the helpers of openapi.py."""
    return {
        "/api/runs": {
            "get": operation(
                "Agent runs, newest first: what woke them, their result, tools, tokens and cost",
                answer=json(ref(runs.RunPage)),
                problems=(400, 503),
                parameters=[
                    *(parameter(name, "query", SCHEMAS[name]) for name in FILTERS),
                    parameter("route", "query", SCHEMAS["agent"]),
                    parameter("result", "query", {"type": "string", "enum": list(runs.RUN_RESULTS)}),
                    parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": MOST_RUNS}),
                    parameter("cursor", "query", {"type": "string", "pattern": r"^\d{1,18}$"}),
                ],
            )
        }
    }
