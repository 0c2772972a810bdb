"""What the dashboard asks besides lists: activity, runs, tokens, subjects, logs, settings."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from openclaw_nats import __version__
from openclaw_nats.api.json_answers import json_response
from openclaw_nats.api.problems import Malformed
from openclaw_nats.api.queries import filters_of, limit_of, moment_of, number_of, parameters
from openclaw_nats.contract import views
from openclaw_nats.contract.deliveries import DeliveryCounts, DeliveryLog, DeliveryRef, FireLine, FireLog, LogLine
from openclaw_nats.contract.spending import SPENDING_BY
from openclaw_nats.events import json_text
from openclaw_nats.events.envelope import format_time
from openclaw_nats.inbound.inbox_service import InboxService
from openclaw_nats.insight import sidecar_log
from openclaw_nats.insight.activity import WINDOWS, Activity
from openclaw_nats.insight.spending import SpendingView
from openclaw_nats.insight.stream_views import StreamViews
from openclaw_nats.settings import REGISTRY, Settings, parse_duration, shown
from openclaw_nats.storage.rows import STATES
from openclaw_nats.url_secrets import masked_value

MAX_USAGE_SECONDS = 7 * 86400.0
MAX_SPENDING_SECONDS = 31 * 86400.0


class InsightEndpoints:
    """The handlers."""

    def __init__(
        self,
        *,
        settings: Settings,
        activity: Activity,
        views: StreamViews,
        spending: SpendingView,
        inbox: InboxService,
        fires: Callable[[int], Awaitable[list[FireLine]]],
        versions: Callable[[], dict[str, str]],
    ) -> None:
        self._settings = settings
        self._activity = activity
        self._views = views
        self._spending = spending
        self._inbox = inbox
        self._fires = fires
        self._versions = versions
        self._log_reader = asyncio.Lock()

    async def activity(self, request: Request) -> Response:
        """Events a second and turns an hour over the last `window`: hour or day."""
        given = parameters(request, ("window",)).get("window", "hour")
        window = next((one for one in WINDOWS if one == given), None)
        if window is None:
            raise Malformed(f"window must be one of {', '.join(WINDOWS)}", field="window")
        return json_response(await self._activity.window(window))

    async def event(self, request: Request) -> Response:
        """One event of the stream, whole, by its sequence."""
        sequence = number_of(request.path_params["sequence"], "the event's sequence")
        return Response(await self._views.event(sequence), media_type="application/cloudevents+json")

    async def run(self, request: Request) -> Response:
        """The events of one agent run and of its subagents, and the deliveries that each event led to."""
        query = parameters(request, ("around",))
        around = moment_of(query["around"], "around") if "around" in query else None
        events, complete = await self._views.run(request.path_params["id"], around)
        facts = [json_text.shown(bytes(one.event)) for one in events]
        ids = [one["id"] for one in facts if one.get("id")]
        deliveries: dict[str, list[DeliveryRef]] = {}
        for start in range(0, len(ids), 500):
            deliveries |= await self._inbox.of_events(ids[start : start + 500])
        dispatch = next((one["causationid"] for one in facts if one.get("causationid")), None)
        woken_by = await self._inbox.woken_by(dispatch) if isinstance(dispatch, str) else []
        return json_response(views.Run(events, complete, deliveries, woken_by))

    async def usage(self, request: Request) -> Response:
        """Tokens by agent and model since a time ago (`24h`), where events carry them."""
        given = parameters(request, ("since",)).get("since", "24h")
        try:
            seconds = parse_duration(given)
        except ValueError as error:
            raise Malformed(f"since must be {error}") from None
        return json_response(await self._views.usage(min(seconds, MAX_USAGE_SECONDS)))

    async def spending(self, request: Request) -> Response:
        """Money and tokens since a time ago (default 24h), by agent, route, model or day."""
        query = parameters(request, ("by", "since"))
        kind = next((one for one in SPENDING_BY if one == query.get("by", "agent")), None)
        if kind is None:
            raise Malformed(f"by must be one of {', '.join(SPENDING_BY)}", field="by")
        try:
            seconds = parse_duration(query.get("since", "24h"))
        except ValueError as error:
            raise Malformed(f"since must be {error}", field="since") from None
        return json_response(await self._spending.by(kind, min(seconds, MAX_SPENDING_SECONDS)))

    async def subjects(self, request: Request) -> Response:
        """For each subject: events stored and in the last hour, and what became of them here."""
        parameters(request, ())
        found = await self._views.subjects()
        deliveries = await self._inbox.by_subject()
        rows = []
        for subject in sorted({*found.stored, *found.hour, *deliveries}):
            newest = found.newest.get(subject)
            rows.append(
                views.SubjectRow(
                    subject=subject,
                    stored=found.stored.get(subject, 0),
                    last_hour=found.hour.get(subject, 0),
                    newest=format_time(newest) if newest else None,
                    deliveries=DeliveryCounts.of(deliveries.get(subject, {})),
                )
            )
        return json_response(views.Subjects(rows, found.complete))

    async def log_deliveries(self, request: Request) -> Response:
        """Every change of a delivery, newest first."""
        query = parameters(request, ("state", "route", "search", "since", "until", "limit", "cursor"))
        limit = limit_of(query)
        cursor = number_of(query["cursor"], "cursor") if "cursor" in query else None
        states: tuple[str, ...] = ()
        if "state" in query:
            if query["state"] not in STATES:
                raise Malformed(f"state must be one of {', '.join(STATES)}", field="state")
            states = (query["state"],)
        rows = await self._inbox.changes(filters_of(query, states), cursor, limit)
        lines = [LogLine(**{**asdict(row), "at": _time(row.at)}) for row in rows]
        return json_response(DeliveryLog(lines, str(rows[-1].number) if len(rows) == limit else None))

    async def log_fires(self, request: Request) -> Response:
        """What cron jobs and timers fired or skipped, newest first."""
        query = parameters(request, ("limit", "search"))
        rows = await self._fires(limit_of(query) if "search" not in query else 1000)
        search = query.get("search", "").lower()
        lines = [row for row in rows if search in f"{row.name} {row.subject}".lower()]
        return json_response(FireLog(lines[: limit_of(query)]))

    async def log_sidecar(self, request: Request) -> Response:
        """The sidecar's own log, newest first: warnings and errors, with `level=info` the rest too."""
        query = parameters(request, ("level", "search", "limit"))
        level = query.get("level", "warning")
        if level not in sidecar_log.LEVELS:
            raise Malformed(f"level must be one of {', '.join(sidecar_log.LEVELS)}")
        file = self._settings.home / "logs" / "sidecar.log"
        async with self._log_reader:  # one at a time: a reader is a thread, and reads megabytes
            found = await asyncio.to_thread(sidecar_log.lines, file, level, query.get("search", ""), limit_of(query))
        return json_response(views.SidecarLog(found))

    async def settings(self, request: Request) -> Response:
        """Every setting with its value, where that came from and what it is for; and what runs in which version."""
        parameters(request, ())
        rows = []
        for one in REGISTRY:
            rows.append(
                views.SettingRow(
                    name=one.name,
                    value=masked_value(shown(self._settings, one.name)),
                    origin=self._settings.origins[one.name],
                    variable=one.variable,
                    applies=one.applies,
                    help=one.help,
                )
            )
        versions = {"openclaw-nats": __version__, "python": platform.python_version(), **self._versions()}
        return json_response(views.SettingsView(rows, versions, str(self._settings.home)))


def _time(seconds: Any) -> str:
    return format_time(round(float(seconds) * 1000))
