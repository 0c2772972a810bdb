"""The part of the OpenAPI document that the dashboard is made of: sessions, live events, activity, logs, checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from openclaw_nats.contract import deliveries, routes, schedules, spending, views
from openclaw_nats.contract.schemas import as_json, ref
from openclaw_nats.insight.activity import WINDOWS
from openclaw_nats.insight.sidecar_log import LEVELS
from openclaw_nats.storage.rows import STATES

_TEXT = {"type": "string", "maxLength": 512}
_DURATION = {"type": "string", "pattern": r"^\d{1,4}(ms|s|m|h|d)$"}
_BODY = (400, 408, 413, 415, 422, 503)


def paths(
    operation: Callable[..., dict[str, Any]],
    parameter: Callable[..., dict[str, Any]],
    json: Callable[..., dict[str, Any]],
) -> dict[str, Any]:
    """The paths, made with the helpers of openapi.py."""

    def answer(summary: str, shape: type[Struct], *problems: int, **more: Any) -> dict[str, Any]:
        return operation(summary, answer=json(ref(shape)), problems=problems, **more)

    def one_of(name: str, schema: dict[str, Any], **methods: dict[str, Any]) -> dict[str, Any]:
        return {"parameters": [{"name": name, "in": "path", "required": True, "schema": schema}], **methods}

    def enum(name: str, values: list[str]) -> dict[str, Any]:
        return parameter(name, "query", {"type": "string", "enum": values})

    limit = parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 1000})
    cursor = parameter("cursor", "query", {"type": "string", "pattern": r"^\d{1,18}$"})
    search = parameter("search", "query", _TEXT)
    after = parameter("after", "query", {"type": "string", "pattern": r"^\d{1,18}$"})
    times = [parameter(name, "query", _DURATION) for name in ("since", "until")]
    sign_in = operation(
        "Turn a one-time code into a session cookie",
        body=as_json(ref(views.SignInRequest)),
        answer=json(ref(views.SignedIn)),
        status="201",
        problems=(400, 403, 408, 413, 415, 503),
    )
    return {
        "/api/checks/route": {
            "post": answer(
                "What is wrong with a route",
                routes.RouteCheck,
                *_BODY,
                body=as_json(ref(routes.RouteDocument)),
            )
        },
        "/api/checks/cron": {
            "post": answer(
                "What is wrong with a cron job, and its next runs",
                schedules.CronCheck,
                *_BODY,
                body=as_json(ref(schedules.JobDocument)),
            )
        },
        "/api/live": {
            "get": operation(
                "Events and the state of everything, as server-sent events",
                answer={"text/event-stream": {"schema": {"type": "string"}}},
                problems=(400, 503),
                parameters=[after],
            )
        },
        "/api/live/recent": {
            "get": answer(
                "The newest events after a sequence, and the state", views.Recent, 400, 503, parameters=[after]
            )
        },
        "/api/activity": {
            "get": answer(
                "Events a second and turns an hour",
                views.Activity,
                400,
                503,
                parameters=[enum("window", list(WINDOWS))],
            )
        },
        "/api/events/{sequence}": one_of(
            "sequence",
            {"type": "string", "pattern": r"^\d{1,18}$"},
            get=operation(
                "One event in full",
                answer={"application/cloudevents+json": {"schema": {"type": "object"}}},
                problems=(400, 503),
            ),
        ),
        "/api/runs/{id}": one_of(
            "id",
            {"type": "string", "minLength": 1, "maxLength": 256},
            get=answer(
                "The events of one agent run, and the deliveries they led to",
                views.Run,
                400,
                503,
                parameters=[parameter("around", "query", {"type": "string", "format": "date-time"})],
            ),
        ),
        "/api/usage": {"get": answer("Tokens by agent and model", views.Usage, 400, 503, parameters=times[:1])},
        "/api/spending": {
            "get": answer(
                "Money and tokens by agent, route, model or day",
                spending.Spending,
                400,
                503,
                parameters=[enum("by", list(spending.SPENDING_BY)), *times[:1]],
            )
        },
        "/api/subjects": {"get": answer("What each subject brings", views.Subjects, 400, 503)},
        "/api/settings": {"get": answer("All settings, and versions", views.SettingsView, 400)},
        "/api/logs/deliveries": {
            "get": answer(
                "Every change of a delivery, newest first",
                deliveries.DeliveryLog,
                400,
                503,
                parameters=[
                    enum("state", list(STATES)),
                    parameter("route", "query", _TEXT),
                    search,
                    *times,
                    limit,
                    cursor,
                ],
            )
        },
        "/api/logs/fires": {
            "get": answer(
                "What cron jobs and timers fired", deliveries.FireLog, 400, 501, 503, parameters=[search, limit]
            )
        },
        "/api/logs/sidecar": {
            "get": answer(
                "The sidecar's own log, newest first",
                views.SidecarLog,
                400,
                parameters=[enum("level", list(LEVELS)), search, limit],
            )
        },
        "/api/sign-in-links": {
            "post": operation(
                "A one-time link into the dashboard", answer=json(ref(views.SignInLinks)), status="201", problems=(503,)
            )
        },
        "/api/session": {
            "get": answer("Who is signed in (through the dashboard only)", views.Session),
            "post": sign_in,
            "delete": operation("Sign out (through the dashboard only)", status="204", problems=(503,)),
        },
        "/api/sessions": {"get": answer("All browsers that are signed in", views.Sessions)},
        "/api/sessions/{id}": one_of(
            "id",
            {"type": "string", "minLength": 1, "maxLength": 64},
            delete=operation("Sign one browser out", status="204", problems=(503,)),
        ),
    }
