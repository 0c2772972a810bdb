"""The part of the OpenAPI document that describes routes, deliveries and the plugin's channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from msgspec import Struct

from openclaw_nats.contract import approvals, deliveries, pauses, plugin, routes, why
from openclaw_nats.contract.schemas import as_json, changes, ref
from openclaw_nats.storage.rows import OPEN, STATES

APPROVAL_STATES = get_args(approvals.ApprovalState)
_DURATION = {"type": "string", "pattern": r"^\d{1,6}(ms|s|m|h|d)$", "example": "30s"}


def paths(
    operation: Callable[..., dict[str, Any]],
    parameter: Callable[..., dict[str, Any]],
    json: Callable[..., dict[str, Any]],
) -> dict[str, Any]:
    """The paths, made with the helpers of openapi.py."""

    def in_path(name: str, schema: dict[str, Any]) -> dict[str, Any]:
        return {"name": name, "in": "path", "required": True, "schema": schema}

    def one_of(kind: str, schema: dict[str, Any], **methods: dict[str, Any]) -> dict[str, Any]:
        return {"parameters": [in_path(kind, schema)], **methods}

    def answer(summary: str, shape: type[Struct], *problems: int, **more: Any) -> dict[str, Any]:
        return operation(summary, answer=json(ref(shape)), problems=problems, **more)

    name = {"type": "string", "minLength": 1, "maxLength": 128}
    number = {"type": "string", "pattern": r"^\d{1,18}$"}
    text = {"type": "string", "maxLength": 512}
    filters = [parameter(one, "query", text) for one in ("route", "subject", "session", "search")]
    filters += [parameter(one, "query", _DURATION) for one in ("since", "until")]
    page = [
        parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 1000}),
        parameter("cursor", "query", {"type": "string", "pattern": r"^\d{1,18}$"}),
    ]
    body = (400, 408, 413, 415, 422, 503)
    state = parameter("state", "query", {"type": "string", "enum": list(OPEN)})
    any_state = parameter("state", "query", {"type": "string", "enum": list(STATES)})
    approval_state = parameter("state", "query", {"type": "string", "enum": [*APPROVAL_STATES, "all"]})
    receipts = [one for one in filters if one["name"] in ("route", "since", "until")]
    create = answer(
        "Create a route, or replace the one of that name",
        routes.Route,
        *body,
        body=as_json(ref(routes.RouteDocument)),
    )
    create["responses"]["201"] = {"description": "Created", "content": json(ref(routes.Route))}
    return {
        "/api/routes": {"get": answer("All routes, with counts", routes.Routes, 503), "post": create},
        "/api/routes/{name}": one_of(
            "name",
            name,
            get=answer("One route", routes.Route, 503),
            patch=answer(
                "Change fields; null resets one to its default",
                routes.Route,
                *body,
                body=as_json(changes(routes.RouteDocument)),
            ),
            delete=operation("Remove it; what waits for it is dropped", status="204", problems=(503,)),
        ),
        "/api/routes/{name}/test": one_of(
            "name",
            name,
            post=answer("Dry run: what it would do", routes.DryRun, *body, body=as_json(ref(routes.RouteTest))),
        ),
        "/api/routes/{name}/why": one_of(
            "name",
            name,
            get=answer(
                "Why it did not fire: each gate's answer for one event, or for those of the last hour",
                why.Why,
                400,
                503,
                parameters=[parameter("event", "query", number), parameter("since", "query", _DURATION)],
            ),
        ),
        "/api/pause": {
            "get": answer("What is paused", pauses.Pauses, 503),
            "post": answer(
                "Hold turns: of one route, or of all, or with `everything` whatever goes out and agents' tools",
                pauses.Pauses,
                *body,
                body=as_json(ref(pauses.PauseRequest)),
            ),
        },
        "/api/resume": {"post": answer("End a pause", pauses.Pauses, *body, body=as_json(ref(pauses.ResumeRequest)))},
        "/api/approvals": {
            "get": answer(
                "Guarded calls that wait for an answer, or with `state` others",
                approvals.Approvals,
                400,
                503,
                parameters=[*page, approval_state],
            )
        },
        "/api/approvals/{id}": one_of("id", number, get=answer("One of them", approvals.Approval, 400, 503)),
        "/api/approvals/{id}/approve": one_of(
            "id",
            number,
            post=answer(
                "Let the call run once, in a turn of its own; with `always` such calls of its route from now on",
                approvals.Approval,
                409,
                *body,
                body=as_json(ref(approvals.ApproveRequest)),
            ),
        ),
        "/api/approvals/{id}/deny": one_of(
            "id", number, post=answer("The call stays refused", approvals.Approval, 400, 409, 503)
        ),
        "/api/deliveries": {
            "get": answer(
                "All deliveries, in whatever state",
                deliveries.Deliveries,
                400,
                503,
                parameters=[*filters, *page, parameter("event", "query", text), any_state],
            )
        },
        "/api/deliveries/{id}": one_of(
            "id", number, get=answer("One of them, with its history", deliveries.DeliveryDetail, 400, 503)
        ),
        "/api/pending": {
            "get": answer(
                "Deliveries in progress", deliveries.Deliveries, 400, 503, parameters=[*filters, *page, state]
            )
        },
        "/api/pending/{id}": one_of(
            "id", number, get=answer("One of them, with its history", deliveries.DeliveryDetail, 400, 503)
        ),
        "/api/pending/{id}/retry": one_of(
            "id", number, post=answer("Try a failed one again now", deliveries.Retried, 400, 503)
        ),
        "/api/pending/{id}/drop": one_of("id", number, post=answer("Drop it", deliveries.Dropped, 400, 503)),
        "/api/dead": {"get": answer("The dead letters", deliveries.Deliveries, 400, 503, parameters=[*filters, *page])},
        "/api/dead/redrive": {
            "post": answer(
                "Redrive many",
                deliveries.Redriven,
                *body,
                body=as_json(ref(deliveries.BulkFilters)),
            )
        },
        "/api/dead/drop": {
            "post": answer("Drop many", deliveries.Dropped, *body, body=as_json(ref(deliveries.BulkFilters)))
        },
        "/api/dead/{id}": one_of(
            "id", number, get=answer("One of them, with its history", deliveries.DeliveryDetail, 400, 503)
        ),
        "/api/dead/{id}/redrive": one_of("id", number, post=answer("Redrive it", deliveries.Redriven, 400, 503)),
        "/api/dead/{id}/drop": one_of("id", number, post=answer("Drop it", deliveries.Dropped, 400, 503)),
        "/api/receipts": {
            "get": answer("What was delivered", deliveries.Receipts, 400, 503, parameters=[*receipts, *page])
        },
        "/api/receipts/{id}": one_of(
            "id", text, get=answer("One receipt, with its text", deliveries.ReceiptDetail, 503)
        ),
        "/api/plugin/channel": {
            "get": operation(
                "The plugin's connection: orders for it, as they come",
                answer={"application/x-ndjson": {"schema": {"type": "string"}}},
                problems=(400,),
                parameters=[
                    {
                        **parameter("instance", "query", {"type": "string", "minLength": 8, "maxLength": 64}),
                        "required": True,
                    },
                    *(parameter(one, "query", {"type": "string"}) for one in ("run", "wake", "wraps")),
                ],
            )
        },
        "/api/plugin/probe": {
            "post": operation(
                "Ask the plugin for a test event", answer=json(ref(plugin.Probe)), status="202", problems=(503,)
            )
        },
        "/api/plugin/results": {
            "post": operation(
                "The outcome of a run",
                body=as_json(ref(plugin.RunResult)),
                status="204",
                problems=(400, 408, 413, 415, 422),
            )
        },
    }
