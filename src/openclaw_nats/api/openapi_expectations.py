"""The part of the OpenAPI document that is about expectations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openclaw_nats.contract import expectations
from openclaw_nats.contract.schemas import as_json, changes, ref


def paths(
    operation: Callable[..., dict[str, Any]],
    parameter: Callable[..., dict[str, Any]],
    json: Callable[..., dict[str, Any]],
) -> dict[str, Any]:
    """The paths, made with the helpers of openapi.py."""
    name = parameter("name", "path", {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"})
    one = json(ref(expectations.Expectation))
    return {
        "/api/expectations": {
            "get": operation("All expectations", answer=json(ref(expectations.Expectations)), problems=(400,)),
            "post": operation(
                "Make an expectation",
                body=as_json(ref(expectations.ExpectationDocument)),
                answer=one,
                status="201",
                problems=(400, 408, 409, 413, 415, 422, 503),
            ),
        },
        "/api/expectations-ready": {
            "get": operation(
                "Ready-made expectations", answer=json(ref(expectations.ReadyExpectations)), problems=(400,)
            )
        },
        "/api/expectations/{name}": {
            "parameters": [name],
            "get": operation("An expectation, with what it waits for", answer=one, problems=(404,)),
            "patch": operation(
                "Change an expectation, which begins again",
                body=as_json(changes(expectations.ExpectationDocument)),
                answer=one,
                problems=(400, 404, 408, 413, 415, 422, 503),
            ),
            "delete": operation("Remove an expectation", status="204", problems=(404, 409, 503)),
        },
        "/api/expectations/{name}/test": {
            "parameters": [name],
            "post": operation(
                "Publish its notice as a test",
                answer=json(ref(expectations.ExpectationTested)),
                problems=(404, 503),
            ),
        },
    }
