"""The plugin's channel over HTTP: orders as an answer that goes on, results as requests."""

from __future__ import annotations

import time

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from openclaw_nats.api.bodies import decode_json, media_type, read_body
from openclaw_nats.api.endless import EndlessResponse
from openclaw_nats.api.json_answers import json_response
from openclaw_nats.api.problems import Malformed
from openclaw_nats.api.queries import parameters
from openclaw_nats.contract.plugin import Probe, RunResult
from openclaw_nats.errors import Unavailable
from openclaw_nats.events.ids import uuid7
from openclaw_nats.gateway.channel import PluginChannel

MAX_RESULT_BYTES = 64 * 1024
_results = msgspec.json.Decoder(RunResult)


class ChannelEndpoints:
    """The handlers, around the channel."""

    def __init__(self, channel: PluginChannel) -> None:
        self._channel = channel

    async def orders(self, request: Request) -> Response:
        """Orders for a plugin, a JSON line each, for as long as it listens. Query: instance, run, wake, wraps."""
        query = parameters(request, ("instance", "run", "wake", "wraps"))
        instance = query.get("instance", "")
        if not 8 <= len(instance) <= 64 or not instance.isprintable():
            raise Malformed("instance must be 8 to 64 printable characters")
        orders = self._channel.stream(
            instance,
            can_run=query.get("run") == "true",
            can_wake=query.get("wake") == "true",
            wraps=query.get("wraps", "")[:20],
        )
        return EndlessResponse(orders, media_type="application/x-ndjson")

    async def probe(self, request: Request) -> Response:
        """Ask the plugin for a test event, `agent.events.plugin.probe` with the number in the answer."""
        number = uuid7(int(time.time() * 1000))
        if not self._channel.probe(number):
            raise Unavailable("the plugin is not connected", hint="Is the Gateway running, with the plugin?")
        return json_response(Probe(number), 202)

    async def result(self, request: Request) -> Response:
        """What became of a run."""
        media_type(request, ("application/json",))
        self._channel.result(decode_json(_results, await read_body(request, MAX_RESULT_BYTES)))
        return Response(status_code=204)
