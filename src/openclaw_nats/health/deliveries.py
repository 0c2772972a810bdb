"""The part of the health report about deliveries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from openclaw_nats.contract import health as shapes
from openclaw_nats.contract.deliveries import DeliveryCounts
from openclaw_nats.gateway.channel import PluginChannel
from openclaw_nats.gateway.hooks import Hooks
from openclaw_nats.gateway.sender import GatewaySender
from openclaw_nats.inbound.approvals import Approvals
from openclaw_nats.inbound.delivery import Deliveries
from openclaw_nats.inbound.flow_control import FlowControl
from openclaw_nats.inbound.forgeries import Forgeries
from openclaw_nats.inbound.inbox_service import InboxService
from openclaw_nats.inbound.inbox_space import InboxSpace
from openclaw_nats.inbound.intake import Intake
from openclaw_nats.inbound.loop_guard import LoopGuard
from openclaw_nats.inbound.losses import Losses
from openclaw_nats.inbound.notices import Notices
from openclaw_nats.inbound.pauses import Pauses
from openclaw_nats.inbound.positions import Takeover
from openclaw_nats.inbound.render_process import RenderProcesses
from openclaw_nats.inbound.route_book import RouteBook
from openclaw_nats.inbound.target import TURN_KINDS
from openclaw_nats.ports import Gate
from openclaw_nats.storage.database import Database
from openclaw_nats.terminal_text import plural
from openclaw_nats.url_secrets import masked


@dataclass
class DeliveriesReport:
    """Whether events reach their targets, as far as this sidecar can tell."""

    gate: Gate
    database: Database
    book: RouteBook
    flow: FlowControl
    guard: LoopGuard
    intake: Intake
    deliveries: Deliveries
    channel: PluginChannel
    hooks: Hooks
    sender: GatewaySender
    inbox: InboxService
    notices: Notices
    processes: RenderProcesses
    losses: Losses
    takeover: Takeover
    space: InboxSpace
    pauses: Pauses
    approvals: Approvals
    forgeries: Forgeries
    more_notes: Callable[[], tuple[str, ...]] = lambda: ()

    async def report(self) -> shapes.DeliveryHealth:
        """The part of `/api/health` about deliveries."""
        error = self._error()
        return shapes.DeliveryHealth(
            reachable=not error,
            last_error=error,
            since="",  # Health knows
            way=self.sender.way(),
            routes=len(self.book.every()),
            needs_gateway=self._needs_gateway(),
            unanswerable=[
                shapes.Unanswerable(route.name, note)
                for route in self.book.all_routes()
                if self.book.agents.known and route.document.enabled and (note := self.book.target_note(route))
            ][:100],
            instruction_notes=[
                shapes.Unanswerable(route.name, route.instruction_note)
                for route, _ in self.book.every()
                if route.document.enabled and route.instruction_note
            ][:100],
            counts=DeliveryCounts.of(await self.inbox.states()),
            waiting=self.flow.waiting,
            sending=self.deliveries.sending,
            open_breakers=[
                shapes.OpenBreaker(masked(lane.name), lane.breaker.last_error)
                for lane in self.flow.lanes()
                if lane.breaker.open
            ],
            missed=self.losses.report(),
            inbox=self.space.report(),
            notes=[note for note in self._notes() if note],
            budgets=self.notices.budgets,
            cost_budgets=self.notices.cost_budgets,
            pauses=self.pauses.every(),
            approvals=self.approvals.pending,
            loop_guard=shapes.LoopGuardHealth(self.guard.max_hops, self.guard.stopped, self.guard.last),
            plugin=shapes.ChannelHealth(
                connected=self.channel.connected,
                can_run=self.channel.can_run,
                can_wake=self.channel.can_wake,
                wrapping=self.channel.wraps,
            ),
        )

    def _notes(self) -> tuple[str, ...]:
        return self.takeover.note, self.space.note, self.forgeries.text, *self.more_notes(), self._caged()

    def _caged(self) -> str:
        """That instructions go over the hooks, where the Gateway takes them for outside data; empty when none do."""
        caged = [
            route.name
            for route in self.book.all_routes()
            if route.document.enabled
            and route.document.instruction.strip()
            and route.target.is_turn
            and self.sender.way(route.target.kind) == "hooks"
        ]
        if not caged:
            return ""
        return (
            f"the instructions of {plural(len(caged), 'route')} ({caged[0]}{', …' if len(caged) > 1 else ''}) go over "
            "the Gateway's hooks, which mark them as outside data, too: agents may not carry them out. The plugin's "
            "way does not (OpenClaw 2026.3.31 and later, delivery.way = auto)"
        )

    def _error(self) -> str:
        if not self.gate.allowed:
            return self.gate.problem
        if self.database.last_error:
            return self.database.last_error
        if self.space.problem:
            return self.space.problem
        if self.flow.gateway.open:
            return self.flow.gateway.last_error
        if self.processes.last_error:
            return self.processes.last_error
        if self.intake.problem and self.book.patterns:
            return self.intake.problem
        if (
            self.book.all_routes()
            and self._needs_gateway()
            and self.sender.way() == "hooks"
            and not self.hooks.configured
        ):
            return "no way to the agent: the plugin is not connected, and no hook token is set"
        return ""

    def _needs_gateway(self) -> bool:
        """Whether something is to wake agents: routes that do, or none yet."""
        routes = self.book.all_routes()
        return not routes or any(route.target.kind in TURN_KINDS for route in routes)
