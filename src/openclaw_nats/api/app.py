"""The Starlette application: routes, authentication, and one mapping from errors to problem documents."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope, Send

from openclaw_nats.api.alert_endpoints import AlertEndpoints
from openclaw_nats.api.approval_endpoints import ApprovalEndpoints
from openclaw_nats.api.audit_endpoints import AuditEndpoints
from openclaw_nats.api.auth import ApiKeyMiddleware, Authority
from openclaw_nats.api.channel_endpoints import ChannelEndpoints
from openclaw_nats.api.check_endpoints import CheckEndpoints
from openclaw_nats.api.compat import reshaping
from openclaw_nats.api.dashboard_endpoints import DashboardEndpoints
from openclaw_nats.api.delivery_endpoints import DeliveryEndpoints
from openclaw_nats.api.expectation_endpoints import ExpectationEndpoints
from openclaw_nats.api.failures import Failures
from openclaw_nats.api.fleet_endpoints import FleetEndpoints
from openclaw_nats.api.handover_endpoints import HandoverEndpoints
from openclaw_nats.api.history_endpoints import HistoryEndpoints
from openclaw_nats.api.hot_path import HotPath
from openclaw_nats.api.ingest_endpoints import IngestEndpoints
from openclaw_nats.api.insight_endpoints import InsightEndpoints
from openclaw_nats.api.live_endpoints import LiveEndpoints
from openclaw_nats.api.names_in_paths import SlashesInNames
from openclaw_nats.api.operation_endpoints import OperationEndpoints
from openclaw_nats.api.pause_endpoints import PauseEndpoints
from openclaw_nats.api.replay_endpoints import ReplayEndpoints
from openclaw_nats.api.route_endpoints import RouteEndpoints
from openclaw_nats.api.run_endpoints import RunEndpoints
from openclaw_nats.api.schedule_endpoints import CronEndpoints, TimerEndpoints
from openclaw_nats.api.search_endpoints import SearchEndpoints
from openclaw_nats.api.source_endpoints import SourceEndpoints
from openclaw_nats.api.tool_endpoints import ToolEndpoints
from openclaw_nats.api.verify_endpoints import VerifyEndpoints
from openclaw_nats.errors import NotFound, OpenClawNatsError
from openclaw_nats.outbound.meters import IngestMeters


@dataclass(frozen=True)
class Endpoints:
    """The handlers of every part, by what they are about."""

    ingest: IngestEndpoints
    history: HistoryEndpoints
    operations: OperationEndpoints
    routes: RouteEndpoints
    deliveries: DeliveryEndpoints
    channel: ChannelEndpoints
    cron: CronEndpoints
    timers: TimerEndpoints
    handover: HandoverEndpoints
    tools: ToolEndpoints
    checks: CheckEndpoints
    insight: InsightEndpoints
    live: LiveEndpoints
    dashboard: DashboardEndpoints
    pauses: PauseEndpoints
    approvals: ApprovalEndpoints
    audit: AuditEndpoints
    sources: SourceEndpoints
    fleet: FleetEndpoints
    verify: VerifyEndpoints
    search: SearchEndpoints
    runs: RunEndpoints
    alerts: AlertEndpoints
    expectations: ExpectationEndpoints
    replays: ReplayEndpoints


def build_app(
    *,
    authority: Authority,
    endpoints: Endpoints,
    front: list[Middleware],
    compat: list[Middleware],
    meters: IngestMeters,
) -> HotPath:
    """Put the API together; `front` are the front door and the way in for the dashboard, `compat` what older scripts
    need.
    """
    ingest, history, operations = endpoints.ingest, endpoints.history, endpoints.operations

    async def events(request: Request) -> Response:
        return await (ingest.events(request) if request.method == "POST" else history.events(request))

    async def session(request: Request) -> Response:
        if request.method == "POST":
            return await endpoints.dashboard.sign_in(request)
        if not request.scope.get("session"):
            raise NotFound("the API key is not a session: sessions belong to the dashboard")
        signed_in = endpoints.dashboard
        return await (signed_in.sign_out(request) if request.method == "DELETE" else signed_in.whoami(request))

    failures = Failures(meters)
    app = Starlette(
        routes=[
            Route("/api/publish", ingest.publish, methods=["POST"]),
            Route("/api/events", events, methods=["GET", "POST"]),
            Route("/api/plugin/report", operations.plugin_report, methods=["POST"]),
            Route("/api/health", operations.health, methods=["GET"]),
            Route("/api/openapi.json", operations.openapi, methods=["GET"]),
            Route("/metrics", operations.metrics, methods=["GET"]),
            Route("/api/session", session, methods=["GET", "POST", "DELETE"]),
            *_inbound(endpoints),
            *_schedules(endpoints),
            *_dashboard(endpoints),
            *_sources(endpoints),
            Route("/api/fleet", endpoints.fleet.fleet, methods=["GET"]),
            *_alerts(endpoints),
            *_expectations(endpoints),
        ],
        middleware=[
            *front,
            Middleware(ApiKeyMiddleware, authority=authority, open_paths=["/api/health"]),
            *compat,
            Middleware(SlashesInNames),
        ],
        exception_handlers={
            OpenClawNatsError: failures.known,
            HTTPException: failures.http,
            Exception: failures.bug,
        },
    )
    return HotPath(
        app, authority=authority, ingest=ingest, failures=failures, reshaping=reshaping if compat else _as_it_is
    )


def _as_it_is(scope: Scope, send: Send) -> Send:
    return send


def _inbound(endpoints: Endpoints) -> list[Route]:
    routes, deliveries, channel = endpoints.routes, endpoints.deliveries, endpoints.channel
    return [
        Route("/api/plugin/channel", channel.orders, methods=["GET"]),
        Route("/api/plugin/results", channel.result, methods=["POST"]),
        Route("/api/plugin/probe", channel.probe, methods=["POST"]),
        Route("/api/routes", routes.routes, methods=["GET", "POST"]),
        Route("/api/routes/{name}", routes.route, methods=["GET", "PATCH", "DELETE"]),
        Route("/api/routes/{name}/test", routes.test, methods=["POST"]),
        Route("/api/routes/{name}/why", routes.why, methods=["GET"]),
        Route("/api/routes/{name}/replay", endpoints.replays.replay, methods=["POST"]),
        Route("/api/replays", endpoints.replays.replays, methods=["GET"]),
        Route("/api/replays/{id}", endpoints.replays.stop, methods=["DELETE"]),
        Route("/api/pause", endpoints.pauses.pause, methods=["GET", "POST"]),
        Route("/api/resume", endpoints.pauses.resume, methods=["POST"]),
        Route("/api/approvals", endpoints.approvals.every, methods=["GET"]),
        Route("/api/approvals/{id}", endpoints.approvals.one, methods=["GET"]),
        Route("/api/approvals/{id}/approve", endpoints.approvals.approve, methods=["POST"]),
        Route("/api/approvals/{id}/deny", endpoints.approvals.deny, methods=["POST"]),
        Route("/api/deliveries", deliveries.every, methods=["GET"]),
        Route("/api/deliveries/{id}", deliveries.one, methods=["GET"]),
        Route("/api/pending", deliveries.pending, methods=["GET"]),
        Route("/api/pending/{id}", deliveries.one_pending, methods=["GET"]),
        Route("/api/pending/{id}/retry", deliveries.retry, methods=["POST"]),
        Route("/api/pending/{id}/drop", deliveries.drop, methods=["POST"]),
        Route("/api/dead", deliveries.dead, methods=["GET"]),
        Route("/api/dead/redrive", deliveries.redrive, methods=["POST"]),
        Route("/api/dead/drop", deliveries.drop_dead, methods=["POST"]),
        Route("/api/dead/{id}", deliveries.one_dead, methods=["GET"]),
        Route("/api/dead/{id}/redrive", deliveries.redrive_one, methods=["POST"]),
        Route("/api/dead/{id}/drop", deliveries.drop, methods=["POST"]),
        Route("/api/receipts", deliveries.receipts, methods=["GET"]),
        Route("/api/receipts/{id}", deliveries.one_receipt, methods=["GET"]),
    ]


def _schedules(endpoints: Endpoints) -> list[Route]:
    cron, timers = endpoints.cron, endpoints.timers
    return [
        Route("/api/cron", cron.jobs, methods=["GET", "POST"]),
        Route("/api/cron/{name}", cron.job, methods=["GET", "PATCH", "DELETE"]),
        Route("/api/cron/{name}/run", cron.run, methods=["POST"]),
        Route("/api/cron/{name}/pause", cron.pause, methods=["POST"]),
        Route("/api/cron/{name}/resume", cron.resume, methods=["POST"]),
        Route("/api/cron/{name}/history", cron.history, methods=["GET"]),
        Route("/api/timers", timers.timers, methods=["GET", "POST"]),
        Route("/api/timers/{name}", timers.timer, methods=["GET", "DELETE"]),
        Route("/api/schedules/others", endpoints.handover.others, methods=["GET"]),
        Route("/api/schedules/take", endpoints.handover.take, methods=["POST"]),
        Route("/api/tools/{name}", endpoints.tools.call, methods=["POST"]),
    ]


def _dashboard(endpoints: Endpoints) -> list[Route]:
    insight, live, dashboard = endpoints.insight, endpoints.live, endpoints.dashboard
    return [
        Route("/api/audit", endpoints.audit.records, methods=["GET", "POST"]),
        Route("/api/audit/verify", endpoints.audit.verify, methods=["GET"]),
        Route("/api/certificate", endpoints.verify.certificate, methods=["GET", "POST"]),
        Route("/api/checks/route", endpoints.checks.route, methods=["POST"]),
        Route("/api/checks/cron", endpoints.checks.cron, methods=["POST"]),
        Route("/api/live", live.stream, methods=["GET"]),
        Route("/api/live/recent", live.recent, methods=["GET"]),
        Route("/api/activity", insight.activity, methods=["GET"]),
        Route("/api/events/search", endpoints.search.search, methods=["GET"]),
        Route("/api/events/histogram", endpoints.search.histogram, methods=["GET"]),
        Route("/api/events/names", endpoints.search.names, methods=["GET"]),
        Route("/api/events/reindex", endpoints.search.reindex, methods=["POST"]),
        Route("/api/events/{sequence}", insight.event, methods=["GET"]),
        Route("/api/runs", endpoints.runs.list, methods=["GET"]),
        Route("/api/runs/{id}", insight.run, methods=["GET"]),
        Route("/api/usage", insight.usage, methods=["GET"]),
        Route("/api/spending", insight.spending, methods=["GET"]),
        Route("/api/subjects", insight.subjects, methods=["GET"]),
        Route("/api/settings", insight.settings, methods=["GET"]),
        Route("/api/logs/deliveries", insight.log_deliveries, methods=["GET"]),
        Route("/api/logs/fires", insight.log_fires, methods=["GET"]),
        Route("/api/logs/sidecar", insight.log_sidecar, methods=["GET"]),
        Route("/api/sign-in-links", dashboard.link, methods=["POST"]),
        Route("/api/sessions", dashboard.sessions, methods=["GET"]),
        Route("/api/sessions/{id}", dashboard.session, methods=["DELETE"]),
    ]


def _alerts(endpoints: Endpoints) -> list[Route]:
    alerts = endpoints.alerts
    return [
        Route("/api/alerts", alerts.alerts, methods=["GET", "POST"]),
        Route("/api/alerts/{name}", alerts.alert, methods=["GET", "PATCH", "DELETE"]),
        Route("/api/alerts/{name}/history", alerts.history, methods=["GET"]),
        Route("/api/alerts/{name}/test", alerts.test, methods=["POST"]),
    ]


def _sources(endpoints: Endpoints) -> list[Route]:
    sources = endpoints.sources
    return [
        Route("/api/source-types", sources.kinds, methods=["GET"]),
        Route("/api/sources", sources.sources, methods=["GET", "POST"]),
        Route("/api/sources/{name}", sources.source, methods=["GET", "PATCH", "DELETE"]),
        Route("/api/sources/{name}/rotate", sources.rotate, methods=["POST"]),
        Route("/api/sources/{name}/test", sources.test, methods=["POST"]),
        Route("/api/quarantine", sources.quarantined, methods=["GET"]),
        Route("/api/quarantine/release", sources.release, methods=["POST"]),
        Route("/api/quarantine/drop", sources.drop, methods=["POST"]),
        Route("/api/quarantine/{number}", sources.one_quarantined, methods=["GET"]),
    ]


def _expectations(endpoints: Endpoints) -> list[Route]:
    expectations = endpoints.expectations
    return [
        Route("/api/expectations", expectations.expectations, methods=["GET", "POST"]),
        Route("/api/expectations-ready", expectations.ready, methods=["GET"]),
        Route("/api/expectations/{name}", expectations.expectation, methods=["GET", "PATCH", "DELETE"]),
        Route("/api/expectations/{name}/test", expectations.test, methods=["POST"]),
    ]
