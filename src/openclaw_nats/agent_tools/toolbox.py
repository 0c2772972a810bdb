"""All tools by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from openclaw_nats.agent_tools.answer import Answer
from openclaw_nats.agent_tools.caller import Caller
from openclaw_nats.agent_tools.limits import Limits
from openclaw_nats.agent_tools.publishing import Publishing
from openclaw_nats.agent_tools.scheduling import Scheduling
from openclaw_nats.agent_tools.subscriptions import Subscriptions
from openclaw_nats.audit.acting import acting
from openclaw_nats.errors import NotFound

Tool = Callable[[Caller, object], Awaitable[Answer]]


class Toolbox:
    """Calls tools for agents; raises InvalidInput with what the agent can do about it, or Unavailable."""

    def __init__(
        self, limits: Limits, publishing: Publishing, subscriptions: Subscriptions, scheduling: Scheduling
    ) -> None:
        self._limits = limits
        self.check_pause: Callable[[], None] = lambda: None
        self.tools: dict[str, Tool] = {
            "nats_publish": publishing.publish,
            "nats_events": publishing.events,
            "nats_request": publishing.request,
            "nats_subscribe": subscriptions.subscribe,
            "nats_unsubscribe": subscriptions.unsubscribe,
            "nats_subscriptions": subscriptions.list,
            "nats_route_update": subscriptions.update,
            "nats_cron_add": scheduling.cron_add,
            "nats_cron_update": scheduling.cron_update,
            "nats_cron_remove": scheduling.cron_remove,
            "nats_cron_list": scheduling.cron_list,
            "nats_cron_toggle": scheduling.cron_toggle,
            "nats_cron_run": scheduling.cron_run,
            "nats_timer_set": scheduling.timer_set,
            "nats_timer_cancel": scheduling.timer_cancel,
            "nats_timer_list": scheduling.timer_list,
        }

    async def call(self, name: str, caller: Caller, parameters: object) -> Answer:
        """Call a tool by its name."""
        self._limits.check_enabled()
        self.check_pause()
        if name not in self.tools:
            raise NotFound(f"there is no tool {name[:80]!r}", hint="Known: " + ", ".join(self.tools) + ".")
        with acting(caller.said):
            return await self.tools[name](caller, parameters)
