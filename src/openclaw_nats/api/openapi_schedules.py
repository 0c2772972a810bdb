"""The part of the OpenAPI document that describes cron jobs, timers and the agents' tools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from openclaw_nats.contract import plugin, schedules
from openclaw_nats.contract.schemas import as_json, changes, ref

_NAME = {"type": "string", "minLength": 1, "maxLength": 128}
_BODY = (400, 408, 409, 413, 415, 422, 501, 503)


def paths(
    operation: Callable[..., dict[str, Any]],
    parameter: Callable[..., dict[str, Any]],
    json: Callable[..., dict[str, Any]],
) -> dict[str, Any]:
    """The paths, made with the helpers of openapi.py."""

    def named(**methods: dict[str, Any]) -> dict[str, Any]:
        return {"parameters": [{"name": "name", "in": "path", "required": True, "schema": _NAME}], **methods}

    def answer(summary: str, shape: type[Struct], *problems: int, **more: Any) -> dict[str, Any]:
        return operation(summary, answer=json(ref(shape)), problems=(501, 503, *problems), **more)

    def create(summary: str, schema: dict[str, Any], shape: type[Struct]) -> dict[str, Any]:
        made = operation(summary, answer=json(ref(shape)), problems=_BODY, body={"application/json": schema})
        made["responses"]["201"] = {"description": "Created", "content": json(ref(shape))}
        return made

    limit = parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 1000})
    change = operation(
        "Change fields; null resets one to its default",
        answer=json(ref(schedules.Job)),
        problems=_BODY,
        body=as_json(changes(schedules.JobDocument)),
    )
    tool = operation(
        "Call an agent's tool, as the plugin does",
        answer=json(ref(plugin.ToolAnswer)),
        problems=(403, *_BODY),
        body=as_json(ref(plugin.ToolCall)),
    )
    return {
        "/api/tools/{name}": named(post=tool),
        "/api/cron": {
            "get": answer("All cron jobs, with their next runs", schedules.Jobs),
            "post": create(
                "Create a cron job, or replace the one of that name", ref(schedules.JobDocument), schedules.Job
            ),
        },
        "/api/cron/{name}": named(
            get=answer("One cron job", schedules.Job),
            patch=change,
            delete=operation("Remove it; it does not fire any more", status="204", problems=(501, 503)),
        ),
        "/api/cron/{name}/run": named(post=answer("Fire it now", schedules.Fired, 422)),
        "/api/cron/{name}/pause": named(post=answer("Pause it until it is resumed", schedules.Job, 409, 422)),
        "/api/cron/{name}/resume": named(post=answer("Resume it, from now on", schedules.Job, 409, 422)),
        "/api/cron/{name}/history": named(
            get=answer("Its newest runs, and what became of each", schedules.History, 400, parameters=[limit])
        ),
        "/api/schedules/others": {
            "get": answer("Jobs and timers of other Gateways on this NATS", schedules.OtherSchedules, 400)
        },
        "/api/schedules/take": {
            "post": operation(
                "Make a job or timer of a Gateway that is gone one of this",
                answer=json({"anyOf": [ref(schedules.Job), ref(schedules.Timer)]}),
                problems=_BODY,
                body=as_json(ref(schedules.TakeOver)),
            )
        },
        "/api/timers": {
            "get": answer("All timers that have not fired", schedules.Timers),
            "post": create("Set a timer; it replaces one of that name", ref(schedules.TimerDocument), schedules.Timer),
        },
        "/api/timers/{name}": named(
            get=answer("One timer", schedules.Timer),
            delete=operation("Cancel it", status="204", problems=(501, 503)),
        ),
    }
