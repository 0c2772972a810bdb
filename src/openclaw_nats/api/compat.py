"""Scripts for the tool that this one replaces go on working: its answers next to ours, and the paths that only it has.

With the setting `compat` (on by default) answers of the endpoints that both have also hold `success` and `result`, as
that tool's did; errors hold `success: false` and `error`, with our status. Whoever asks for our form alone, by
`Accept: application/json; version=1` as our own commands do, or comes through the dashboard, gets that.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openclaw_nats.api import compat_shapes
from openclaw_nats.api.json_answers import json_body
from openclaw_nats.api.problems import Malformed, problem_for
from openclaw_nats.api.queries import number_of
from openclaw_nats.api.route_endpoints import view as route_view
from openclaw_nats.api.schedule_endpoints import job_view, timer_view
from openclaw_nats.errors import NotFound, OpenClawNatsError
from openclaw_nats.events.envelope import format_seconds, format_time
from openclaw_nats.inbound.inbox_service import InboxService
from openclaw_nats.inbound.route_book import RouteBook
from openclaw_nats.insight.stream_views import StreamViews
from openclaw_nats.schedules.cron_book import CronBook
from openclaw_nats.schedules.timer_book import TimerBook
from openclaw_nats.storage.listed import Filters, RouteFigures
from openclaw_nats.storage.rows import OPEN

OURS = "version=1"
_MAX_LOGS = 1000


class OnlyThere:
    """The endpoints that only that tool has."""

    def __init__(
        self, *, routes: RouteBook, inbox: InboxService, cron: CronBook, timers: TimerBook, views: StreamViews
    ) -> None:
        self._routes = routes
        self._inbox = inbox
        self._cron = cron
        self._timers = timers
        self._views = views

    async def answer(self, request: Request) -> Response | None:
        """The answer to a request that is only for that tool; None for all others."""
        parts = [unquote(part) for part in request.url.path.removeprefix("/api/").split("/")]
        result = await self._result(request.method, parts, request)
        if result is None:
            return None
        return Response(msgspec.json.encode({"success": True, "result": result}), media_type="application/json")

    async def _result(self, method: str, parts: list[str], request: Request) -> Any:
        match (method, *parts):
            case ("GET", "routes", "status" | "health") if self._routes.find(parts[1]) is None:
                return await self._route_states()
            case ("POST", "pending", "mark-delivered"):
                return await self._mark(await json_body(request))
            case ("GET", "pending", session) if not session.isdigit():
                return await self._pending(session)
            case ("GET", "metrics"):
                return await self._metrics()
            case ("GET", "logs") | ("GET", "logs", "recent"):
                return await self._logs(request)
            case ("PATCH", "cron", name, "toggle"):
                job = await self._cron.named(name)
                changed = await self._cron.change(name, {"enabled": not job.stored.document.enabled})
                return compat_shapes.job(msgspec.to_builtins(job_view(changed, None)))
            case ("POST", "cron", "timer"):
                timer, _ = await self._timers.set(await json_body(request))
                return compat_shapes.timer(msgspec.to_builtins(timer_view(timer)))
            case ("GET", "cron", "timer") if not await self._is_job("timer"):
                return [compat_shapes.timer(msgspec.to_builtins(timer_view(one))) for one in await self._timers.every()]
            case ("DELETE", "cron", "timer", name):
                await self._timers.cancel(name)
                return {"deleted": True}
        return None

    async def _is_job(self, name: str) -> bool:
        try:
            await self._cron.named(name)
        except NotFound:
            return False
        return True

    async def _route_states(self) -> list[dict[str, Any]]:
        counts = await self._inbox.counts()
        found = []
        for route, stored in self._routes.every():
            view = msgspec.to_builtins(route_view(route, stored, counts.get(route.id, RouteFigures())))
            found.append({**compat_shapes.route(view), "counts": view["counts"], "waitingSince": view["waitingSince"]})
        return found

    async def _pending(self, session: str) -> list[dict[str, Any]]:
        rows = await self._inbox.deliveries(Filters(session=session, states=OPEN), None, _MAX_LOGS)
        return [
            {
                "id": str(row.id),
                "sessionKey": row.session,
                "subject": row.subject,
                "priority": row.priority,
                "createdAt": format_seconds(row.arrived_at),
                "deliveredAt": None,
            }
            for row in rows
        ]

    async def _mark(self, body: Any) -> dict[str, int]:
        ids = body.get("ids") if isinstance(body, dict) else None
        if not isinstance(ids, list) or len(ids) > _MAX_LOGS:
            raise Malformed(f'the body must be {{"ids": [at most {_MAX_LOGS} numbers of pending deliveries]}}')
        marked = 0
        for one in ids:
            try:
                marked += await self._inbox.drop(number_of(str(one), "an id"))
            except NotFound:
                continue  # somebody else was faster
        return {"marked": marked}

    async def _metrics(self) -> list[dict[str, Any]]:
        found, deliveries = await self._views.subjects(), await self._inbox.by_subject()
        return [
            {
                "subject": subject,
                "published": count,
                "consumed": sum(deliveries.get(subject, {}).values()),
                "lastPublishedAt": format_time(found.newest[subject]) if subject in found.newest else None,
                "lastConsumedAt": None,
            }
            for subject, count in sorted(found.stored.items())
        ]

    async def _logs(self, request: Request) -> dict[str, Any]:
        query = request.query_params
        limit = min(number_of(query.get("limit", "100"), "limit"), _MAX_LOGS)
        filters = Filters(search=query.get("subject") or None)
        if query.get("entityType") == "route" and query.get("entityId"):
            filters.route = query["entityId"]
        rows = await self._inbox.changes(filters, None, _MAX_LOGS)
        ended = [row for row in rows if row.state in ("delivered", "failed", "dead")]
        items = [
            {
                "id": str(row.number),
                "entityType": "route",
                "entityId": row.route,
                "action": "delivery" if row.state == "delivered" else "error",
                "subject": row.subject,
                "detail": row.reason,
                "success": row.state == "delivered",
                "createdAt": format_seconds(row.at),
            }
            for row in ended
        ]
        for name in ("action", "success"):
            if wanted := query.get(name):
                items = [one for one in items if str(one[name]).lower() == wanted.lower()]
        start = number_of(query.get("offset", "0"), "offset")
        return {"items": items[start : start + limit], "total": len(items)}


class Compat:
    """Middleware: behind the key, in front of the endpoints."""

    def __init__(self, app: ASGIApp, *, only_there: OnlyThere) -> None:
        self._app = app
        self._only_there = only_there

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not wants_old_shape(scope):
            await self._app(scope, receive, send)
            return
        try:
            answer = await self._only_there.answer(Request(scope, receive))
        except OpenClawNatsError as error:
            answer = _with_failure(problem_for(error))
        if answer is not None:
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, reshaping(scope, send))


def wants_old_shape(scope: Scope) -> bool:
    """Whether a request is one of that tool's clients', which look for its answers: ours say which form they want."""
    if scope["type"] != "http" or scope.get("session") or not scope.get("authorized"):
        return False
    return not any(name == b"accept" and OURS.encode() in value for name, value in scope["headers"])


def reshaping(scope: Scope, send: Send) -> Send:
    """What an answer to a request goes out by: as it is, or with what that tool's clients look for in it."""
    shape = compat_shapes.shape_for(scope["method"], scope["path"]) if wants_old_shape(scope) else None
    return send if shape is None else _Reshaped(send, shape)


def _with_failure(answer: Response) -> Response:
    document = msgspec.json.decode(answer.body)
    body = msgspec.json.encode({**document, "success": False, "error": document.get("detail", "")})
    headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
    return Response(body, answer.status_code, headers)


class _Reshaped:
    """Takes an answer in, and sends it with what that tool's clients look for in it."""

    def __init__(self, send: Send, shape: compat_shapes.Shape) -> None:
        self._send = send
        self._shape = shape
        self._start: Message = {}
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        status, body = self._start["status"], self._rewritten()
        headers = [(name, value) for name, value in self._start["headers"] if name.lower() != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        if status == 204:
            status = 200
            headers.append((b"content-type", b"application/json"))
        await self._send({**self._start, "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    def _rewritten(self) -> bytes:
        status = self._start["status"]
        if status >= 400 and status != 503:
            document = msgspec.json.decode(self._body)
            return msgspec.json.encode({**document, "success": False, "error": document.get("detail", "")})
        document = msgspec.json.decode(self._body) if self._body else {}
        if "detail" in document and "type" in document:  # unavailable
            return msgspec.json.encode({**document, "success": False, "error": document["detail"]})
        return msgspec.json.encode({**document, "success": status < 400, "result": self._shape(document)})
