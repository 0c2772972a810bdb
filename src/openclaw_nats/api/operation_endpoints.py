"""How the sidecar is: `/api/health`, `/metrics`, `/api/openapi.json`, and the plugin's own report."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from openclaw_nats.api.bodies import decode_json, media_type, read_body
from openclaw_nats.api.json_answers import json_response
from openclaw_nats.contract.health import Health
from openclaw_nats.contract.plugin import PluginReport
from openclaw_nats.events.agents import Agents
from openclaw_nats.outbound.plugin_reports import PluginReports

MAX_REPORT_BYTES = 64 * 1024

HealthCheck = Callable[[bool], Awaitable[Health]]

_report_decoder = msgspec.json.Decoder(PluginReport)


class OperationEndpoints:
    """The handlers, around a health check, a metrics registry and the plugin's reports."""

    def __init__(
        self,
        *,
        health: HealthCheck,
        registry: CollectorRegistry,
        reports: PluginReports,
        openapi: dict[str, Any],
        on_agents: Callable[[Agents], Awaitable[None]],
    ) -> None:
        self._on_agents = on_agents
        self._health = health
        self._registry = registry
        self._reports = reports
        self._openapi = msgspec.json.encode(openapi)

    async def health(self, request: Request) -> Response:
        """200 up or 503 down for everybody; with the key every part with its last error."""
        report = await self._health(bool(request.scope.get("authorized")))
        return json_response(report, 200 if report.status == "up" else 503)

    async def metrics(self, request: Request) -> Response:
        """Prometheus text format."""
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)

    async def openapi(self, request: Request) -> Response:
        """The OpenAPI document of this API."""
        return Response(self._openapi, media_type="application/json")

    async def plugin_report(self, request: Request) -> Response:
        """The plugin's report of itself; the answer is empty."""
        media_type(request, ("application/json",))
        report = decode_json(_report_decoder, await read_body(request, MAX_REPORT_BYTES))
        await self._on_agents(report.agents)  # before anybody who waits for this report goes on
        self._reports.receive(report)
        return Response(status_code=204)
