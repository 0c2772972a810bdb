"""Budgets in money: what turns may cost in a time. Like budgets of turns, what is over one waits.

What a turn costs is known when it has ended, so turns that run at the same moment may go over a budget together.
"""

from __future__ import annotations

from collections import deque

from msgspec import UNSET

from openclaw_nats.contract.health import CostBudget
from openclaw_nats.storage.costs import Spent


class Purse:
    """At most `amount` in any `seconds`; `name` is the setting or field that says so. `route_id`: for one route."""

    def __init__(
        self, name: str, amount: float, seconds: float, *, agents: bool = False, route_id: int | None = None
    ) -> None:
        self.name = name
        self.amount = amount
        self.seconds = seconds
        self.agents = agents
        self.route_id = route_id
        self._entries: deque[tuple[float, float]] = deque()
        self._sum: float | None = None  # of the entries, until they change: every group that waits asks for it

    def concerns(self, *, agents: bool) -> bool:
        """Whether turns count, which may be of a route that an agent made."""
        return agents or not self.agents

    def spend(self, one: Spent) -> None:
        """Count what a turn has cost."""
        self._entries.append((one.at, one.cost))
        self._sum = None

    def used(self, now: float) -> float:
        """What was spent in the time up to now."""
        while self._entries and self._entries[0][0] <= now - self.seconds:
            self._entries.popleft()
            self._sum = None
        if self._sum is None:
            self._sum = sum(cost for _, cost in self._entries)
        return self._sum

    def free_at(self, now: float, kept: float = 0.0) -> float:
        """When something is left again, without the part `kept` for others: 0 when something is now."""
        limit = self.amount * (1 - kept)
        left = self.used(now)
        if limit <= 0:
            return now + self.seconds
        if left < limit:
            return 0.0
        for at, cost in self._entries:
            left -= cost
            if left < limit:
                return at + self.seconds
        return now + self.seconds

    def clock_put_back(self, now: float) -> None:
        """What was counted by a clock that was ahead counts as of now."""
        self._entries = deque((min(at, now), cost) for at, cost in self._entries)

    def report(self, now: float, kept: float = 0.0) -> CostBudget:
        """How much is used, and when there is something left again."""
        return CostBudget(
            name=self.name,
            limit=self.amount,
            used=round(self.used(now), 6),
            free_at=self.free_at(now, kept),
            agents=True if self.agents else UNSET,
            route_id=UNSET if self.route_id is None else self.route_id,
        )
