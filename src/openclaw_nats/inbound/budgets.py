"""Budgets: how many agent turns there may be in an hour and a day. What is over it waits."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Limit:
    """At most `count` turns in any `seconds`; `name` is the setting that says so."""

    name: str
    count: int
    seconds: float


@dataclass
class _Window:
    limit: Limit
    times: deque[float] = field(default_factory=deque)

    def free_at(self, now: float) -> float:
        """When one more fits: `now` or earlier if one does."""
        while self.times and self.times[0] <= now - self.limit.seconds:
            self.times.popleft()
        if len(self.times) < self.limit.count:
            return 0.0
        return self.times[len(self.times) - self.limit.count] + self.limit.seconds


class Budgets:
    """All turns against the limits for all, each route's against the limit for one route."""

    def __init__(self, overall: tuple[Limit, ...], per_route: Limit) -> None:
        self._overall = [_Window(limit) for limit in overall]
        self._limit = per_route
        self._routes: dict[int, _Window] = {}

    def spend(self, now: float, route_id: int) -> None:
        """Count one turn."""
        for window in (*self._overall, self._route(route_id)):
            window.times.append(now)

    def refund(self, route_id: int) -> None:
        """The last turn that was counted for this route was not asked for after all."""
        for window in (*self._overall, self._route(route_id)):
            if window.times:
                window.times.pop()

    def wait(self, now: float, route_id: int) -> tuple[float, str]:
        """(when the next turn of this route fits, the limit in the way); (0, "") when one fits now."""
        worst, name = 0.0, ""
        for window in (*self._overall, self._route(route_id)):
            free = window.free_at(now)
            if free > max(worst, now):
                worst, name = free, window.limit.name
        return worst, name

    def report(self, now: float) -> list[dict[str, Any]]:
        """Each limit for all, and each route's that is spent: how much is used, when there is room again (0: now)."""
        found = [_state(window, now) for window in self._overall]
        for route_id, window in self._routes.items():
            if window.free_at(now) > now:
                found.append({**_state(window, now), "routeId": route_id})
        return found

    def _route(self, route_id: int) -> _Window:
        if route_id not in self._routes:
            self._routes[route_id] = _Window(self._limit)
        return self._routes[route_id]


def _state(window: _Window, now: float) -> dict[str, Any]:
    free = window.free_at(now)
    return {
        "name": window.limit.name,
        "limit": window.limit.count,
        "used": len(window.times),
        "freeAt": free if free > now else 0.0,
    }
