"""Budgets: how many agent turns there may be in an hour and a day. What is over it waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from msgspec import UNSET, UnsetType

from openclaw_nats.contract.health import WARNING_PART, Budget, CostBudget
from openclaw_nats.inbound.purses import Purse
from openclaw_nats.storage.costs import Spent

URGENT = 9  # from this priority on
ROUTE_COST = "flow.budget"

_SMALLEST_WITH_RESERVE = 5  # of fewer turns one would be too large a part


@dataclass(frozen=True)
class Limit:
    """At most `count` turns in any `seconds`; `name` is the setting that says so."""

    name: str
    count: int
    seconds: float


@dataclass(eq=False)
class _Window:
    limit: Limit
    times: deque[float] = field(default_factory=deque)

    def free_at(self, now: float, kept: int = 0) -> float:
        """When one more fits that leaves `kept` to others: `now` or earlier if one does."""
        count = self.limit.count - kept
        if count <= 0:
            return now + self.limit.seconds
        while self.times and self.times[0] <= now - self.limit.seconds:
            self.times.popleft()
        if len(self.times) < count:
            return 0.0
        return self.times[len(self.times) - count] + self.limit.seconds


class Budgets:
    """All turns against the limits for all, each route's against the limit for one route.

    Turns for routes that agents made count against `shares` too: what all of those together may have of each limit, so
    that what one agent subscribes to can't use up what the operator's routes need. Of each limit for all, `reserve` is
    a part that only urgent routes may use: the operator's with priority 9 or 10.

    All replays together have the limit `replays`, and none of their turns counts against a route's own limit.
    """

    def __init__(
        self,
        overall: tuple[Limit, ...],
        per_route: Limit,
        shares: tuple[Limit, ...] = (),
        reserve: float = 0.0,
        replays: Limit | None = None,
    ) -> None:
        self._overall = [_Window(limit) for limit in overall]
        self._shares = [_Window(limit) for limit in shares]
        self._limit = per_route
        self._replays = _Window(replays or per_route)
        self._routes: dict[int, _Window] = {}
        self._agents: set[int] = set()
        self._reserve = reserve
        self._urgent: set[int] = set()
        self.purses: list[Purse] = []
        self._route_purses: dict[int, Purse] = {}
        self.history: Callable[[int, float], Iterable[Spent]] = lambda route_id, seconds: ()

    def limit_route(self, route_id: int, cost: float, seconds: float) -> None:
        """What a route's turns may cost in so many seconds; 0 for no limit. What they have cost counts at once."""
        old = self._route_purses.get(route_id)
        if old is not None and (old.amount, old.seconds) == (cost, seconds):
            return
        self._route_purses.pop(route_id, None)
        if cost:
            purse = self._route_purses[route_id] = Purse(ROUTE_COST, cost, seconds, route_id=route_id)
            for one in self.history(route_id, seconds):
                purse.spend(one)

    def made_by_operator(self, route_id: int, priority: int | None) -> None:
        """A route is the operator's, who gave it this priority: events can't make a route urgent."""
        (self._urgent.add if (priority or 0) >= URGENT else self._urgent.discard)(route_id)

    def made_by_agent(self, route_id: int) -> None:
        """A route is an agent's own."""
        self._agents.add(route_id)

    def spend(self, now: float, route_id: int, *, agents: bool = False, replay: bool = False) -> None:
        """Count one turn; `agents` says that the route, which may be gone meanwhile, was an agent's."""
        if agents:
            self._agents.add(route_id)
        for window in self._windows(route_id, replay=replay):
            window.times.append(now)

    def pay(self, one: Spent) -> None:
        """Count what a turn has cost."""
        for purse in self._purses(one.route_id, agents=one.agents):
            purse.spend(one)

    def cost_report(self, now: float) -> list[CostBudget]:
        """Each budget in money, those of routes when most of it is spent: how much, when something is left again."""
        near = [one for one in self._route_purses.values() if one.used(now) >= one.amount * WARNING_PART]
        return [purse.report(now, self._part_kept(purse)) for purse in [*self.purses, *near]]

    def refund(self, route_id: int, *, replay: bool = False) -> None:
        """The last turn that was counted for this route was not asked for after all."""
        for window in self._windows(route_id, replay=replay):
            if window.times:
                window.times.pop()

    def clock_put_back(self, now: float) -> None:
        """Turns that were counted by a clock that was ahead count as of now."""
        for window in (*self._overall, *self._shares, self._replays, *self._routes.values()):
            window.times = deque(min(at, now) for at in window.times)
        for purse in (*self.purses, *self._route_purses.values()):
            purse.clock_put_back(now)

    def wait(self, now: float, route_id: int, *, replay: bool = False) -> tuple[float, str]:
        """(when the next turn of this route fits, the limit in the way); (0, "") when one fits now."""
        worst, name = 0.0, ""
        urgent = route_id in self._urgent and not replay
        for window in self._windows(route_id, replay=replay):
            free = window.free_at(now, self._kept(window, urgent=urgent))
            if free > max(worst, now):
                worst, name = free, window.limit.name
        for purse in self._purses(route_id, agents=route_id in self._agents):
            free = purse.free_at(now, 0.0 if urgent else self._part_kept(purse))
            if free > max(worst, now):
                worst, name = free, purse.name
        return worst, name

    def report(self, now: float) -> list[Budget]:
        """Each limit for all, and each route's and agents' share that is spent: how much is used, when there is room
        again (0: now).
        """
        found = [_state(window, now, kept=self._kept(window)) for window in self._overall]
        found += [_state(window, now, agents=True) for window in self._shares if window.free_at(now) > now]
        found += [_state(self._replays, now)] if self._replays.free_at(now) > now else []
        for route_id, window in self._routes.items():
            if window.free_at(now) > now:
                found.append(_state(window, now, route_id=route_id))
        return found

    def _kept(self, window: _Window, *, urgent: bool = False) -> int:
        """How many turns of a limit for all are kept for urgent routes."""
        count = window.limit.count
        if urgent or window not in self._overall or self._reserve <= 0:
            return 0
        return max(int(count >= _SMALLEST_WITH_RESERVE), int(count * self._reserve))

    def _purses(self, route_id: int, *, agents: bool) -> Iterator[Purse]:
        """The budgets in money that a route's turns count for."""
        for purse in self.purses:
            if purse.concerns(agents=agents):
                yield purse
        if route_id in self._route_purses:
            yield self._route_purses[route_id]

    def _part_kept(self, purse: Purse) -> float:
        """Which part of a budget in money is kept for urgent routes: of what is for all."""
        return 0.0 if purse.agents or purse.route_id is not None else self._reserve

    def _windows(self, route_id: int, *, replay: bool = False) -> Iterator[_Window]:
        yield from self._overall
        if route_id in self._agents:
            yield from self._shares
        if replay:
            yield self._replays
            return
        if route_id not in self._routes:
            self._routes[route_id] = _Window(self._limit)
        yield self._routes[route_id]


def share_of(limits: tuple[Limit, ...], share: float) -> tuple[Limit, ...]:
    """What agents' routes together may have of each limit: a part of it, and at least one turn unless it is none."""
    if share >= 1:
        return ()
    least = 1 if share > 0 else 0
    return tuple(
        Limit(f"{one.name} (agents.budget_share)", max(least, int(one.count * share)), one.seconds) for one in limits
    )


def _state(
    window: _Window,
    now: float,
    *,
    kept: int = 0,
    route_id: int | UnsetType = UNSET,
    agents: bool | UnsetType = UNSET,
) -> Budget:
    free = window.free_at(now, kept)
    return Budget(
        name=window.limit.name,
        limit=window.limit.count,
        used=len(window.times),
        free_at=free if free > now else 0.0,
        route_id=route_id,
        agents=agents,
        reserved=kept or UNSET,
    )
