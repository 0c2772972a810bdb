"""What the bus reports of itself as events: a budget is spent, a loop was stopped. At most one each within its time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

import structlog
from msgspec import UNSET, UnsetType

from openclaw_nats.contract.health import WARNING_PART, Budget, CostBudget
from openclaw_nats.errors import Unavailable
from openclaw_nats.events.bus_events import bus_message
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.events.identity import Identity
from openclaw_nats.events.ids import uuid7
from openclaw_nats.events.messages import Message
from openclaw_nats.inbound.flow_control import FlowControl
from openclaw_nats.inbound.meters import InboundMeters
from openclaw_nats.ports import EventLog

log = structlog.get_logger(__name__)

BUDGET_WARNING = "agent.events.bus.budget_warning"
BUDGET_REACHED = "agent.events.bus.budget_reached"
LOOP_STOPPED = "agent.events.bus.loop_stopped"
PAUSE_NOTICES = {"paused": "agent.events.bus.paused", "resumed": "agent.events.bus.resumed"}
_LOOK_SECONDS = 1.0


class Notices:
    """Looks at the budgets, and publishes what there is to tell as soon as NATS takes it."""

    def __init__(
        self,
        log_: EventLog,
        flow: FlowControl,
        meters: InboundMeters,
        gateway_id: str,
        route_name: Callable[[int], str],
        identity: Identity,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._log = log_
        self._flow = flow
        self._meters = meters
        self._gateway_id = gateway_id
        self._route_name = route_name
        self._identity = identity
        self._clock = clock
        self._waiting: list[Message] = []
        self._spent: set[tuple[str, int | UnsetType]] = set()
        self._warned: set[tuple[str, int | UnsetType]] = set()
        self.budgets: list[Budget] = []
        self.cost_budgets: list[CostBudget] = []

    async def run(self) -> None:
        """Look and tell until cancelled."""
        while True:
            self.look()
            try:
                while self._waiting:
                    await self._log.append([self._waiting[0]])
                    self._waiting.pop(0)
            except Unavailable as error:
                log.debug("notices.wait", error=str(error))
            await asyncio.sleep(_LOOK_SECONDS)

    def look(self) -> None:
        """Take the budgets' state over; a budget that is newly spent while something waits is reported."""
        now = self._clock()
        self.budgets = self._flow.budgets.report(now)
        for budget in self.budgets:
            if budget.route_id is UNSET and budget.agents is UNSET:
                self._meters.budget.labels(budget.name).set(budget.used)
        self.cost_budgets = self._flow.budgets.cost_report(now)
        for one in self.cost_budgets:
            if isinstance(one.route_id, int):
                one.route = self._route_name(one.route_id)
        self._warn()
        spent: dict[tuple[str, int | UnsetType], Budget | CostBudget] = {
            (one.name, one.route_id): one for one in self.budgets if one.free_at
        }
        spent |= {(one.name, one.route_id): one for one in self.cost_budgets if one.free_at > now}
        self._spent &= spent.keys()
        if not self._flow.waiting:
            return
        for key in spent.keys() - self._spent:
            self._spent.add(key)
            self._budget_reached(spent[key])

    def _warn(self) -> None:
        """Tell once that most of a budget in money is spent, until it is less again."""
        near = {(one.name, one.route_id): one for one in self.cost_budgets if one.used >= one.limit * WARNING_PART}
        self._warned &= near.keys()
        for key in near.keys() - self._warned:
            self._warned.add(key)
            data = self._named(near[key]) | {"used": near[key].used}
            log.warning("budget.nearly_spent", **data)
            self.tell(BUDGET_WARNING, data)

    def _budget_reached(self, budget: Budget | CostBudget) -> None:
        data = self._named(budget) | {
            "freeAt": format_seconds(budget.free_at),
            "waiting": self._flow.waiting,
        }
        log.warning("budget.reached", **data)
        self.tell(BUDGET_REACHED, data)

    def _named(self, budget: Budget | CostBudget) -> dict[str, object]:
        found: dict[str, object] = {"budget": budget.name, "limit": budget.limit}
        if isinstance(budget.route_id, int):
            found["route"] = self._route_name(budget.route_id)
        return found

    def loop_stopped(self, route: str, subject: str, hops: int) -> None:
        """The loop guard has stopped an event. The notice is as deep as the event: it can't begin the loop again."""
        self.tell(LOOP_STOPPED, {"route": route, "subject": subject, "hops": hops}, hops)

    def tell(self, subject: str, data: Mapping[str, object], hops: int = 0) -> None:
        """Publish an event about the bus itself, soon."""
        now = int(self._clock() * 1000)
        message = bus_message(
            self._identity, self._gateway_id, subject, data, event_id=uuid7(now), milliseconds=now, hops=hops
        )
        if len(self._waiting) < 100:
            self._waiting.append(message)
