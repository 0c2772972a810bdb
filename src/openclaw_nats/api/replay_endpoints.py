"""`/api/routes/{name}/replay` and `/api/replays`: stored events go through a route once more."""

from __future__ import annotations

import time

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from openclaw_nats.api.json_answers import json_body, json_response
from openclaw_nats.api.names_in_paths import name_of
from openclaw_nats.api.problems import Malformed
from openclaw_nats.api.queries import moment_of, number_of
from openclaw_nats.contract import replays as shapes
from openclaw_nats.contract.checking import check
from openclaw_nats.events.agents import MAIN
from openclaw_nats.inbound.replays import LOOK_SECONDS, Replays
from openclaw_nats.insight.spending import SpendingView
from openclaw_nats.settings import parse_duration
from openclaw_nats.storage.replays import ReplayRow
from openclaw_nats.terminal_text import plural

MAX_BODY = 8192
_MOST_PER = 10_000


class ReplayEndpoints:
    """The handlers. `spending` says what turns of a route cost."""

    def __init__(self, replays: Replays, spending: SpendingView) -> None:
        self._replays = replays
        self._spending = spending

    async def replay(self, request: Request) -> Response:
        """Begin a replay, or with `dryRun` say what it would do."""
        asked = check(await json_body(request, MAX_BODY), shapes.ReplayRequest, "a replay", Malformed)
        count, per = _rate(asked.rate)
        wanted = ReplayRow(
            id=0,
            route_id=0,
            route=name_of(request),
            since=moment_of(asked.since, "from"),
            until=min(time.time(), moment_of(asked.until, "to") if asked.until is not None else time.time()),
            which=asked.only,
            most=asked.limit,
            rate_count=count,
            rate_per=per,
            also_webhooks=asked.also_webhooks,
            made_by="",
            began_at=0.0,
        )
        if not asked.dry_run:
            return json_response(await self._replays.start(wanted), 202)
        plan, route = await self._replays.plan(wanted)
        if route.target.is_turn:
            mean = await self._spending.per_day(plan.turns, route.name, route.target.agent or MAIN)
            plan = replace(plan, tokens=mean.tokens, cost=mean.cost, basis=mean.basis)
        return json_response(replace(plan, summary=summary_of(plan, turn=route.target.is_turn)))

    async def replays(self, request: Request) -> Response:
        """All replays."""
        return json_response(shapes.Replays(await self._replays.every()))

    async def stop(self, request: Request) -> Response:
        """Stop one."""
        await self._replays.stop(number_of(request.path_params["id"], "id"))
        return Response(status_code=204)


def summary_of(plan: shapes.ReplayPlan, *, turn: bool) -> str:
    """What a replay would do, as a sentence; and what is left out, if something is."""
    text = f"{plan.deliveries} of {plural(plan.events, 'event')} would be replayed"
    if turn:
        text += f", as about {plural(plan.turns, 'turn')}"
        parts = [f"{plan.tokens:,.0f} tokens"] if plan.tokens is not None else []
        parts += [f"{plan.cost:.2f} in money"] if plan.cost is not None else []
        text += f": about {', '.join(parts)} ({plan.basis})" if parts else f" ({plan.basis})"
    left_out = (
        (plan.gone, "can't be replayed any more: they have left the stream"),
        (plan.under_way, "are still in progress"),
        (plan.unknown, "are left out: what became of them is forgotten"),
        (plan.refused, "would end as they did: too deep, too late, forged or unreadable"),
    )
    text += "".join(f"; {count} {why}" for count, why in left_out if count)
    return text if plan.complete else f"{text}. There are more (the limit, or {LOOK_SECONDS:g} s of looking)"


def _rate(text: str | None) -> tuple[int, float]:
    if text is None:
        return 0, 0.0
    count, slash, per = text.partition("/")
    try:
        seconds = parse_duration(per)
    except ValueError:
        seconds = 0.0
    if not (slash and count.isascii() and count.isdigit() and 1 <= int(count[:9]) <= _MOST_PER and seconds > 0):
        raise Malformed(f"rate must be written like 20/1h, not {text[:40]!r}", field="rate")
    return int(count[:9]), seconds
