"""`/api/alerts`: channels that tell people what is wrong. Addresses and secrets go in and never come out."""

from __future__ import annotations

from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from openclaw_nats.alerts.book import StoredChannel, format_of, shown_address
from openclaw_nats.alerts.message import link
from openclaw_nats.alerts.sending import Alerts
from openclaw_nats.api.json_answers import json_body, json_response
from openclaw_nats.api.queries import limit_of, parameters
from openclaw_nats.contract import alerts as shapes
from openclaw_nats.contract.checking import check
from openclaw_nats.errors import InvalidInput
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.storage.alerts import MessageRow

MAX_BODY = 16 * 1024


class AlertEndpoints:
    """The handlers."""

    def __init__(self, alerts: Alerts) -> None:
        self._alerts = alerts

    async def alerts(self, request: Request) -> Response:
        """All channels and what is wrong, or a new channel."""
        if request.method == "POST":
            wanted = check(await json_body(request, MAX_BODY), shapes.AlertChannelRequest, "a channel", InvalidInput)
            return json_response(await self._shown(await self._alerts.book.add(wanted)), 201)
        parameters(request, ())
        channels = [await self._shown(one) for one in self._alerts.book.every()]
        conditions = [
            shapes.AlertCondition(
                one.key, one.kind, one.text, format_seconds(one.since), link(self._alerts.pages, one.page)
            )
            for one in await self._alerts.conditions()
        ]
        return json_response(shapes.Alerts(channels, conditions))

    async def alert(self, request: Request) -> Response:
        """One channel; pausing and removing it."""
        name = request.path_params["name"]
        if request.method == "DELETE":
            await self._alerts.remove(name)
            return Response(status_code=204)
        if request.method == "PATCH":
            wanted = check(await json_body(request, MAX_BODY), shapes.AlertChannelChange, "a change", InvalidInput)
            return json_response(await self._shown(await self._alerts.book.change(name, wanted)))
        return json_response(await self._shown(self._alerts.book.named(name)))

    async def history(self, request: Request) -> Response:
        """The messages to a channel."""
        limit = limit_of(parameters(request, ("limit",)))
        found = await self._alerts.history(request.path_params["name"], limit)
        return json_response(shapes.AlertHistory([_message(one) for one in found]))

    async def test(self, request: Request) -> Response:
        """Send a test message now."""
        error = await self._alerts.test(request.path_params["name"])
        return json_response(shapes.AlertTested(not error, error))

    async def _shown(self, channel: StoredChannel) -> shapes.AlertChannel:
        wanted, name = channel.wanted, channel.name
        found = shapes.AlertChannel(
            name=name,
            to=shown_address(wanted.to),
            signed=bool(wanted.secret),
            format=format_of(wanted),
            window=wanted.window,
            again=wanted.again,
            without=wanted.without,
            content=wanted.content,
            made=channel.made,
            paused=channel.paused,
            waiting=(await self._alerts.waiting())[name],
            last_error=self._alerts.errors.get(name, ""),
        )
        if wanted.quiet_hours is not None:
            found.quiet_hours = wanted.quiet_hours
        return found


def _message(row: MessageRow) -> shapes.AlertMessage:
    state: Literal["waiting", "sent", "failed"] = (
        "waiting" if row.ended_at is None else "failed" if row.error else "sent"
    )
    found = shapes.AlertMessage(row.id, row.title, format_seconds(row.made_at), state, row.attempts, row.error)
    if row.ended_at is not None:
        found.ended = format_seconds(row.ended_at)
    return found
