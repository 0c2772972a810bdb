"""The part of the OpenAPI document that tells of cron jobs, timers and the agents' tools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openclaw_nats.api.openapi_answers import ref

_PRIORITY = {"type": "integer", "minimum": 1, "maximum": 10}
_SUBJECT = {"type": "string", "maxLength": 255, "example": "agent.events.cron.report"}
_NAME = {"type": "string", "minLength": 1, "maxLength": 128}
_JOB_FIELDS = {
    "cron": {"type": "string", "maxLength": 200, "example": "30 8 * * MON-FRI"},
    "timezone": {"type": "string", "description": "IANA name", "example": "Europe/Berlin"},
    "subject": {**_SUBJECT, "description": "Default: agent.events.cron.<name>"},
    "payload": {},
    "priority": _PRIORITY,
    "enabled": {"type": "boolean", "default": True},
    "missed": {"type": "string", "default": "run_once", "description": "skip, run_once or within:<duration>"},
}
JOB = {"type": "object", "required": ["name", "cron"], "properties": {"name": _NAME, **_JOB_FIELDS}}
_CHANGES = {"type": "object", "properties": _JOB_FIELDS}
_TIMER = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": _NAME,
        "delay": {"type": "string", "example": "5m"},
        "delayMs": {"type": "number", "minimum": 0},
        "at": {"type": "string", "format": "date-time"},
        "subject": {**_SUBJECT, "description": "Default: agent.events.timer.<name>"},
        "payload": {},
        "priority": _PRIORITY,
    },
}
_CALL = {
    "type": "object",
    "required": ["caller"],
    "properties": {
        "caller": {
            "type": "object",
            "properties": {
                "agentId": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"},
                "sessionKey": {"type": "string"},
                "sessionId": {"type": "string"},
                "hops": {"type": "integer", "minimum": 0, "maximum": 1000},
                "cause": {"type": "string"},
            },
        },
        "parameters": {"type": "object"},
    },
}
_OBJECT = {"type": "object"}
_BODY = (400, 408, 409, 413, 415, 422, 501, 503)


def paths(
    operation: Callable[..., dict[str, Any]],
    parameter: Callable[..., dict[str, Any]],
    json: Callable[..., dict[str, Any]],
) -> dict[str, Any]:
    """The paths, made with the helpers of openapi.py."""

    def named(**methods: dict[str, Any]) -> dict[str, Any]:
        return {"parameters": [{"name": "name", "in": "path", "required": True, "schema": _NAME}], **methods}

    def answer(summary: str, shape: str, *problems: int, **more: Any) -> dict[str, Any]:
        return operation(summary, answer=json(ref(shape)), problems=(501, 503, *problems), **more)

    def create(summary: str, schema: dict[str, Any], shape: str) -> dict[str, Any]:
        made = operation(summary, answer=json(ref(shape)), problems=_BODY, body={"application/json": schema})
        made["responses"]["201"] = {"description": "Created", "content": json(ref(shape))}
        return made

    limit = parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 1000})
    change = operation(
        "Change fields; null takes one back to its default",
        answer=json(ref("Job")),
        problems=_BODY,
        body={"application/json": _CHANGES},
    )
    tool = operation(
        "Call an agent's tool, as the plugin does",
        answer=json(_OBJECT),
        problems=(403, *_BODY),
        body={"application/json": _CALL},
    )
    return {
        "/api/tools/{name}": named(post=tool),
        "/api/cron": {
            "get": answer("All cron jobs, with their next runs", "Jobs"),
            "post": create("Create a cron job, or replace the one of that name", JOB, "Job"),
        },
        "/api/cron/{name}": named(
            get=answer("One cron job", "Job"),
            patch=change,
            delete=operation("Remove it; it does not fire any more", status="204", problems=(501, 503)),
        ),
        "/api/cron/{name}/run": named(post=answer("Fire it now", "Fired", 422)),
        "/api/cron/{name}/pause": named(post=answer("Let it not fire until it is resumed", "Job", 409, 422)),
        "/api/cron/{name}/resume": named(post=answer("Let it fire again, from now on", "Job", 409, 422)),
        "/api/cron/{name}/history": named(
            get=answer("Its newest runs, and what became of each", "History", 400, parameters=[limit])
        ),
        "/api/timers": {
            "get": answer("All timers that have not fired", "Timers"),
            "post": create("Set a timer, in place of one of that name", _TIMER, "Timer"),
        },
        "/api/timers/{name}": named(
            get=answer("One timer", "Timer"),
            delete=operation("Cancel it", status="204", problems=(501, 503)),
        ),
    }
