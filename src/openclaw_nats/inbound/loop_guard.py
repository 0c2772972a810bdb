"""The loop guard: an event that deliveries have led to wakes agents only so many dispatches deep.

An event carries `hops`: how many deliveries lie between it and the outside. The plugin stamps the events of a run that
a delivery started with the delivery's id and its hops; the counter travels in the event, so that it holds across
sidecars. For events that say nothing, the runs that this sidecar started are known by their id.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

import structlog

from openclaw_nats.contract.health import LoopStop

log = structlog.get_logger(__name__)

_REMEMBERED = 10_000
_TELL_SECONDS = 60.0


class LoopGuard:
    """Counts hops and says when there are too many. `stopped` counts the deliveries that it has stopped."""

    def __init__(self, max_hops: int, clock: Callable[[], float] = time.time) -> None:
        self.max_hops = max_hops
        self.stopped = 0
        self.last: LoopStop | None = None
        self._clock = clock
        self._runs: OrderedDict[str, int] = OrderedDict()
        self._told: dict[str, float] = {}
        self.on_stop: Callable[[str, str, int], None] | None = None

    def started(self, run: str, hops: int) -> None:
        """A delivery starts a run whose events are `hops` deliveries away from the outside."""
        self._runs[run] = hops
        if len(self._runs) > _REMEMBERED:
            self._runs.popitem(last=False)

    def hops_of(self, run: str, hops: int) -> int:
        """The hops of an event of run `run` that says `hops` itself."""
        return max(hops, self._runs.get(run, 0)) if run else hops

    def too_deep(self, hops: int) -> str:
        """Why an event that is so deep wakes nobody; empty when it may."""
        if hops <= self.max_hops:
            return ""
        return f"loop guard: the event is {hops} dispatches deep, the limit is {self.max_hops}"

    def stop(self, route: str, subject: str, hops: int) -> str:
        """Note that an event does not wake anybody; the reason for the delivery's row. Tells once a minute a route."""
        self.stopped += 1
        now = self._clock()
        self.last = LoopStop(route, subject, hops, now)
        if not 0 <= now - self._told.get(route, 0.0) <= _TELL_SECONDS:
            self._told[route] = now
            log.warning("loop_guard.stopped", route=route, subject=subject, hops=hops, max_hops=self.max_hops)
            if self.on_stop is not None:
                self.on_stop(route, subject, hops)
        return self.too_deep(hops)
