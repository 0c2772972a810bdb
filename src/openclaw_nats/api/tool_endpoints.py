"""`POST /api/tools/{name}`: a call of an agent's tool, as the plugin passes it on."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from openclaw_nats.agent_tools.caller import Caller
from openclaw_nats.agent_tools.toolbox import Toolbox
from openclaw_nats.api.bodies import decode_json, media_type, read_body
from openclaw_nats.api.json_answers import json_response
from openclaw_nats.api.names_in_paths import name_of
from openclaw_nats.contract.plugin import ToolAnswer, ToolCall
from openclaw_nats.events.envelope import MAX_EVENT_BYTES


class Call(ToolCall):
    """The body, with the caller checked."""

    caller: Caller


_calls = msgspec.json.Decoder(Call)


class ToolEndpoints:
    """The handler, around the toolbox."""

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox

    async def call(self, request: Request) -> Response:
        """Call a tool: `{"result": {…}, "outside": …}`; `outside` is what the agent must get marked as such."""
        media_type(request, ("application/json",))
        call = decode_json(_calls, await read_body(request, MAX_EVENT_BYTES))
        answer = await self._toolbox.call(name_of(request), call.caller, call.parameters or {})
        return json_response(ToolAnswer(answer.result, answer.outside))
