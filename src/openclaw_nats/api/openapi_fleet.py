"""The part of the OpenAPI document that is about the fleet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openclaw_nats.contract import fleet
from openclaw_nats.contract.schemas import ref


def paths(operation: Callable[..., dict[str, Any]], json: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The paths, made with the helpers of openapi.py."""
    return {
        "/api/fleet": {
            "get": operation(
                "All sidecars on this NATS, and how each is", answer=json(ref(fleet.Fleet)), problems=(400,)
            )
        }
    }
