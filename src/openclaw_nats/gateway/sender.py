"""To the Gateway by the way that it offers: the plugin's service where that can run agents, else the hooks."""

from __future__ import annotations

from collections.abc import Callable

from openclaw_nats.errors import DeliveryError, RetryLater
from openclaw_nats.events.agents import Agents
from openclaw_nats.events.session_keys import GLOBAL
from openclaw_nats.gateway.channel import PluginChannel, session_of
from openclaw_nats.gateway.hooks import Hooks
from openclaw_nats.ports import Parcel, Receipt

PLUGIN_PATIENCE_SECONDS = 60.0
_RUN_SECONDS = 7200.0
_CAUSE_AFTER_SECONDS = 20.0


class GatewaySender:
    """Chooses the way for each parcel. `plugin_known`: a plugin that can run agents was here before (also an earlier
    process of ours): then it is waited for a while before the hooks are used. `plugin_seen`: any plugin was: then
    nothing that it has to guard goes out without it. `agents` tells of the Gateway's own: the
    session that all of them share (`session.scope: global`) takes no turns from plugins (2026.9.6), so it gets hooks.
    """

    def __init__(
        self,
        channel: PluginChannel,
        hooks: Hooks,
        way: str,
        *,
        plugin_known: bool,
        plugin_seen: bool = False,
        agents: Callable[[], Agents] = Agents,
    ) -> None:
        self._channel = channel
        self._hooks = hooks
        self._way = way
        self.plugin_known = plugin_known
        self.plugin_seen = plugin_seen
        self._agents = agents

    def way(self, kind: str = "session") -> str:
        """`plugin` or `hooks` for a kind of target at this moment; empty while it is not decided."""
        if self._way != "auto":
            return self._way
        if self._channel.connected:
            able = self._channel.can_wake if kind == "wake" else self._channel.can_run
            return "plugin" if able else "hooks"
        if self.plugin_known and (not self._hooks.configured or self._channel.away_seconds < PLUGIN_PATIENCE_SECONDS):
            return ""
        return "hooks"

    async def send(self, parcel: Parcel) -> Receipt:
        """Deliver one parcel; see Sender.send."""
        way = parcel.way or self.way(parcel.kind)
        if way == "plugin" and parcel.kind != "agent" and self._agents().shared(session_of(parcel)):
            if not self._hooks.configured:
                raise RetryLater(
                    "the session of all agents (session.scope: global) takes turns over the Gateway's hooks only",
                    hint="`openclaw-nats setup` enables them.",
                )
            way = "hooks"
        if way == "plugin":
            return await self._channel.send(parcel)
        if not way:
            raise RetryLater("the plugin is not connected: is the Gateway running?", scope="gateway", counts=False)
        if self.plugin_seen and not self._channel.connected and _is_guarded(parcel):
            raise RetryLater(
                "the plugin is not connected, and without it nothing guards the turn of these outside events",
                hint="Is the Gateway running, and the plugin enabled? `openclaw-nats doctor` says.",
                scope="gateway",
                counts=False,
            )
        # Over the hooks the run's id is not ours: the plugin knows its events by the session.
        self._announce(parcel, _RUN_SECONDS)
        may_run_on = True
        try:
            receipt = await self._hooks.send(parcel)
            may_run_on = receipt.outcome == "accepted"
        except DeliveryError as error:
            may_run_on = isinstance(error, RetryLater) and bool(error.way)  # the Gateway may have taken it
            raise
        finally:
            self._announce(parcel, _RUN_SECONDS if may_run_on else _CAUSE_AFTER_SECONDS, unseen=may_run_on)
        return receipt

    def _announce(self, parcel: Parcel, seconds: float, *, unseen: bool = False) -> None:
        sessions = [session_of(parcel)]
        if self._agents().shared(sessions[0]):
            sessions.append(GLOBAL)  # as the Gateway calls it
        if parcel.kind == "agent":  # the Gateway's names for a hook's own session: 2026.9, and before
            sessions = [f"agent:{parcel.agent}:cron:*", f"agent:{parcel.agent}:hook:*"]
        for session in sessions:
            self._channel.announce(parcel, session, seconds, unseen=unseen)


def _is_guarded(parcel: Parcel) -> bool:
    return parcel.policy is not None and parcel.policy.tainted and parcel.policy.guard != "off"
