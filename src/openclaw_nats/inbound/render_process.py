"""The template processes: one for templates that behave, one for those that have run too long."""

from __future__ import annotations

import msgspec

from openclaw_nats.errors import Poison
from openclaw_nats.sandbox.process import Worker

_WORKER = "openclaw_nats.inbound.render_worker"


class TooLong(Exception):
    """The text is over the limit; with fewer events it may fit."""


class RenderProcesses:
    """Renders templates. A route whose template ran too long once waits behind others like it, not before the rest."""

    def __init__(self) -> None:
        warm = msgspec.json.encode({"template": "", "variables": [], "limit": 10})
        self._fast = Worker(_WORKER, "the template", warm)
        self._slow = Worker(_WORKER, "the template", warm)
        self._slow_routes: dict[int, str] = {}

    @property
    def last_error(self) -> str:
        """Why no process can be started; empty when one can, as far as is known."""
        return self._fast.last_error or self._slow.last_error

    async def render(self, route_id: int, template: str, variables: list[dict[str, object]], limit: int) -> str:
        """The texts for the sets of variables, joined; raise Poison with what is wrong, TooLong or Unavailable."""
        worker = self._slow if self._slow_routes.get(route_id) == template else self._fast
        try:
            request = msgspec.json.encode({"template": template, "variables": variables, "limit": limit})
            found: dict[str, str] = msgspec.json.decode(await worker.ask(request))
        except Poison:
            self._slow_routes[route_id] = template
            raise
        if "text" in found:
            return found["text"]
        if found["error"] == "room":
            raise TooLong
        if "longer than" in found["error"]:
            self._slow_routes[route_id] = template
        raise Poison(found["error"])

    async def close(self) -> None:
        """Stop both processes."""
        await self._fast.close()
        await self._slow.close()
