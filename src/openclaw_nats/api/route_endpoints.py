"""`/api/routes`: list, create, change, remove, try out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from openclaw_nats.api.json_answers import json_body, json_response
from openclaw_nats.api.names_in_paths import name_of
from openclaw_nats.api.problems import Malformed
from openclaw_nats.api.queries import number_of, parameters
from openclaw_nats.contract import routes as shapes
from openclaw_nats.contract.checking import check
from openclaw_nats.contract.fields import Unreadable
from openclaw_nats.contract.pauses import Pause
from openclaw_nats.events.agents import MAIN
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.inbound.dry_run import DryRun, draft
from openclaw_nats.inbound.inbox_service import InboxService
from openclaw_nats.inbound.route import Route
from openclaw_nats.inbound.route_book import RouteBook
from openclaw_nats.inbound.target import TURN_KINDS
from openclaw_nats.inbound.why import WhyNot
from openclaw_nats.insight.spending import SpendingView
from openclaw_nats.settings import parse_duration
from openclaw_nats.storage.listed import RouteFigures
from openclaw_nats.storage.routes import StoredRoute
from openclaw_nats.storage.rows import STATES
from openclaw_nats.terminal_text import plural
from openclaw_nats.url_secrets import MASK, masked

T = TypeVar("T")
_DAY = 86400.0


class RouteEndpoints:
    """The handlers, around the route book."""

    def __init__(
        self,
        book: RouteBook,
        inbox: InboxService,
        dry_run: DryRun,
        why: WhyNot,
        spending: SpendingView,
        *,
        compat: bool = False,
        paused: Callable[[int], Pause | None] = lambda route_id: None,
    ) -> None:
        self._book = book
        self._inbox = inbox
        self._dry_run = dry_run
        self._why = why
        self._spending = spending
        self._compat = compat
        self._paused = paused

    async def routes(self, request: Request) -> Response:
        """GET: all routes with their counts. POST: create a route, or replace the one of that name."""
        if request.method == "POST":
            body = await json_body(request)
            if self._compat and isinstance(body, dict) and isinstance(body.get("pattern"), str):
                body = {"name": body["pattern"], "target": "main", **body}  # there both may be left out
            route, new = await self._book.save(body)
            return json_response(await self._saved(route.name), 201 if new else 200)
        counts = await self._inbox.counts()
        found = [
            view(
                route,
                stored,
                counts.get(route.id, RouteFigures()),
                self._book.target_note(route),
                self._paused(route.id),
            )
            for route, stored in self._book.every()
        ]
        unusable = [Unreadable(stored.name, reason) for stored, reason in self._book.unusable()]
        return json_response(shapes.Routes(found, unusable or UNSET))

    async def route(self, request: Request) -> Response:
        """GET, PATCH, DELETE one route."""
        name = name_of(request)
        if request.method == "PATCH":
            await self._book.change(name, await json_body(request))
            return json_response(await self._saved(name))
        if request.method == "DELETE":
            await self._book.remove(name)
            return Response(status_code=204)
        return json_response(await self._one(name))

    async def test(self, request: Request) -> Response:
        """Dry run. Body: `{"event": {…}}` or `{"since": "2h"}`, and optionally `route`, one that is not saved."""
        asked = check(await json_body(request), shapes.RouteTest, "the body", Malformed)
        if (asked.event is None) == (asked.since is None):
            raise Malformed('the body must hold either "event" or "since", and may hold "route"')
        saved = asked.route is None
        route = self._book.named(name_of(request))[0] if saved else draft(asked.route)
        if asked.event is not None:
            return json_response(with_summary(await self._dry_run.event(route, asked.event)))
        try:
            seconds = parse_duration(asked.since)
        except ValueError as error:
            raise Malformed(f"since must be {error}", field="since") from None
        report = await self._dry_run.replay(route, seconds)
        if route.target.is_turn:
            turns = report.turns * _DAY / seconds if seconds else 0.0
            agent = route.target.agent or MAIN
            report.per_day = await self._spending.per_day(turns, route.name, agent)
        return json_response(with_summary(report, asked.since or ""))

    async def why(self, request: Request) -> Response:
        """Why it did not fire: for the event of a sequence, or for what was stored in the last hour."""
        query = parameters(request, ("event", "since"))
        if len(query) == 2:
            raise Malformed("the query may hold either event or since")
        route = self._book.named(name_of(request))[0]
        if "event" in query:
            return json_response(await self._why.event(route, max(1, number_of(query["event"], "event"))))
        try:
            seconds = parse_duration(query.get("since", "1h"))
        except ValueError as error:
            raise Malformed(f"since must be {error}", field="since") from None
        return json_response(await self._why.since(route, seconds))

    async def _saved(self, name: str) -> shapes.Route:
        note = self._book.trial_note(name)
        return msgspec.structs.replace(await self._one(name), trial_note=note or UNSET)

    async def _one(self, name: str) -> shapes.Route:
        route, stored = self._book.named(name)
        counts = await self._inbox.counts(route.id)
        return view(
            route, stored, counts.get(route.id, RouteFigures()), self._book.target_note(route), self._paused(route.id)
        )


def view(
    route: Route, stored: StoredRoute, figures: RouteFigures, note: str = "", paused: Pause | None = None
) -> shapes.Route:
    """A route as people see it: secrets masked, the conditions as CEL, what became of its events.

    `note` says that nothing can answer its target, or that this could not be checked.
    """
    document = route.document
    return shapes.Route(
        name=document.name,
        pattern=document.pattern,
        target=_masked(document.target),
        instruction=document.instruction or UNSET,
        when=_given(document.when),
        filter=_given(document.filter),
        template=_given(document.template),
        payload=_given(document.payload),
        priority=_given(document.priority),
        flow=_given(document.flow),
        retry=_given(document.retry),
        confirm=document.confirm if document.confirm != "ok" else UNSET,
        expires_after=_given(document.expires_after),
        until=_given(document.until),
        enabled=document.enabled,
        trusted=document.trusted,
        tools=route.tools,
        guard=route.guard,
        conditions=[condition.source for condition in route.conditions],
        resolved_target=route.target.shown(),
        target_note=note or UNSET,
        instruction_note=route.instruction_note or UNSET,
        made_by=stored.made_by,
        created_at=format_seconds(stored.created_at),
        updated_at=format_seconds(stored.updated_at),
        waiting_since=format_seconds(figures.oldest) if figures.oldest else None,
        paused=_given(paused),
        counts=_counts(route, figures),
    )


def with_summary(report: shapes.DryRun, since: str = "") -> shapes.DryRun:
    """A dry run that says in a sentence what it found."""
    found = f"{report.matched} of {plural(report.events, 'event')}{f' of the last {since}' if since else ''} match"
    what = "turn" if report.target.kind in TURN_KINDS else "dispatch"
    found += f" and make {plural(report.turns, what, 'dispatches' if what == 'dispatch' else '')}"
    if (day := report.per_day) is not UNSET:
        parts = [f"{day.turns:.3g} turns"]
        parts += [f"{day.tokens:,.0f} tokens"] if day.tokens is not None else []
        parts += [f"{day.cost:.2f} in money"] if day.cost is not None else []
        found += f": about {', '.join(parts)} a day ({day.basis})"
    return msgspec.structs.replace(report, summary=found)


def _counts(route: Route, figures: RouteFigures) -> shapes.RouteCounts:
    states = {state: figures.states.get(state, 0) for state in STATES}
    carried = sum(states[state] for state in ("delivered", "sending", "failed"))
    absorbed = max(0, carried - figures.dispatches)
    return shapes.RouteCounts(
        **states,
        matched=sum(states.values()),
        absorbed=absorbed,
        turns=figures.runs if route.target.is_turn else 0,
        turns_avoided=absorbed if route.target.is_turn else 0,
    )


def _masked(target: shapes.Target | str) -> shapes.Target | str:
    if not isinstance(target, shapes.WebhookTarget):
        return target
    return shapes.WebhookTarget(masked(target.url), MASK if target.secret else None)


def _given(value: T | None) -> T | UnsetType:
    """A field that was given; what has its default is left out."""
    return UNSET if value is None else value
