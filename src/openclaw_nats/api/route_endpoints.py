"""`/api/routes`: list, create, change, remove, try out."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from openclaw_nats.api.json_answers import json_body, json_response
from openclaw_nats.api.problems import Malformed
from openclaw_nats.events.envelope import format_time
from openclaw_nats.inbound.dry_run import DryRun, draft
from openclaw_nats.inbound.inbox_service import InboxService
from openclaw_nats.inbound.route import Route, to_document
from openclaw_nats.inbound.route_book import RouteBook
from openclaw_nats.settings import parse_duration
from openclaw_nats.storage.routes import StoredRoute
from openclaw_nats.storage.rows import ENDED, OPEN
from openclaw_nats.url_secrets import MASK, masked


class RouteEndpoints:
    """The handlers, around the route book."""

    def __init__(self, book: RouteBook, inbox: InboxService, dry_run: DryRun, *, compat: bool = False) -> None:
        self._book = book
        self._inbox = inbox
        self._dry_run = dry_run
        self._compat = compat

    async def routes(self, request: Request) -> Response:
        """GET: all routes with their counts. POST: create a route, or replace the one of that name."""
        if request.method == "POST":
            body = await json_body(request)
            if self._compat and isinstance(body, dict) and isinstance(body.get("pattern"), str):
                body = {"name": body["pattern"], "target": "main", **body}  # there both may be left out
            route, new = await self._book.save(body)
            return json_response(await self._one(route.name), 201 if new else 200)
        counts = await self._inbox.counts()
        found = [
            view(route, stored, counts.get(route.id, {}), self._book.target_note(route))
            for route, stored in self._book.every()
        ]
        unusable = [{"name": stored.name, "reason": reason} for stored, reason in self._book.unusable()]
        return json_response({"routes": found, **({"unreadable": unusable} if unusable else {})})

    async def route(self, request: Request) -> Response:
        """GET, PATCH, DELETE one route."""
        name = request.path_params["name"]
        if request.method == "PATCH":
            await self._book.change(name, await json_body(request))
        elif request.method == "DELETE":
            await self._book.remove(name)
            return Response(status_code=204)
        return json_response(await self._one(name))

    async def test(self, request: Request) -> Response:
        """Dry run. Body: `{"event": {…}}` or `{"since": "2h"}`, and optionally `route`, one that is not saved."""
        body = await json_body(request)
        if (
            not isinstance(body, dict)
            or set(body) - {"event", "since", "route"}
            or ("event" in body) == ("since" in body)
        ):
            raise Malformed('the body must hold either "event" or "since", and may hold "route"')
        route = draft(body["route"]) if "route" in body else self._book.named(request.path_params["name"])[0]
        if "event" in body:
            return json_response(await self._dry_run.event(route, body["event"]))
        try:
            seconds = parse_duration(body["since"])
        except ValueError as error:
            raise Malformed(f"since must be {error}") from None
        return json_response(await self._dry_run.replay(route, seconds))

    async def _one(self, name: str) -> dict[str, Any]:
        route, stored = self._book.named(name)
        counts = await self._inbox.counts(route.id)
        return view(route, stored, counts.get(route.id, {}), self._book.target_note(route))


def view(route: Route, stored: StoredRoute, counts: dict[str, Any], note: str = "") -> dict[str, Any]:
    """A route as people see it: secrets masked, the conditions as CEL, what became of its events.

    `note` says that nothing can answer its target, or that this could not be checked.
    """
    found = to_document(route.document)
    if isinstance(found["target"], dict):
        secrets = {"secret": MASK} if route.target.secret else {}
        secrets |= {"url": masked(route.target.url)} if route.target.url else {}
        found["target"] = {**found["target"], **secrets}
    states = {state: counts.get(state, 0) for state in OPEN + ENDED}
    turns = counts.get("runs", 0) if route.target.is_turn else 0
    carried = sum(counts.get(state, 0) for state in ("delivered", "sending", "failed"))
    return {
        **found,
        "enabled": route.document.enabled,
        "trusted": route.document.trusted,
        "conditions": [condition.source for condition in route.conditions],
        "resolvedTarget": route.target.shown(),
        **({"targetNote": note} if note else {}),
        "madeBy": stored.made_by,
        "createdAt": format_time(int(stored.created_at * 1000)),
        "updatedAt": format_time(int(stored.updated_at * 1000)),
        "waitingSince": format_time(int(counts["oldest"] * 1000)) if counts.get("oldest") else None,
        "counts": {
            "matched": sum(states.values()),
            "absorbed": max(0, carried - counts.get("dispatches", 0)),
            "turns": turns,
            "turnsAvoided": max(0, carried - counts.get("dispatches", 0)) if route.target.is_turn else 0,
            **states,
        },
    }
