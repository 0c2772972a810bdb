"""Flow control: which waiting deliveries go out, when, and together. Pure: the clock is an argument, nothing is stored.

The gates, in this order: expiry → pause → quiet hours → rate limit and batch → debounce → budget → the target's breaker
and concurrency → priority. What waits at a gate of an agent's route goes out together, as one digest turn. All of it
can be built again from the inbox: who waits since when, when dispatches went out, when turns were asked for.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator

from openclaw_nats.inbound.breaker import LONGEST_GATEWAY_WAIT, Breaker
from openclaw_nats.inbound.budgets import Budgets
from openclaw_nats.inbound.groups import Decision, Group, GroupKey, Lane, Policy, Release, Retry
from openclaw_nats.inbound.pauses import Holds
from openclaw_nats.storage.rows import Dispatch, Waiting
from openclaw_nats.url_secrets import masked

MAX_DIGEST_EVENTS = 1000


class FlowControl:
    """Holds what waits. `release` says what goes out; every release has to be answered by `done`."""

    def __init__(
        self, budgets: Budgets, max_text: int = 100 * 1024, correction: Callable[[], float] = lambda: 0.0
    ) -> None:
        """`correction`: by how many seconds the clock that is an argument is ahead of the stream's."""
        self.budgets = budgets
        self.holds = Holds()
        self.gateway = Breaker(LONGEST_GATEWAY_WAIT)
        self._max_text = max_text
        self._correction = correction
        self._routes: dict[int, tuple[str, Policy, bool]] = {}
        self._groups: dict[GroupKey, Group] = {}
        self._lanes: dict[str, Lane] = {}
        self._heap: list[tuple[float, int, GroupKey | str]] = []
        self._numbers = itertools.count()
        self._dirty: set[GroupKey] = set()
        self._dirty_lanes: set[str] = set()
        self._moved: list[Dispatch] = []
        self.waiting = 0

    # What changes ----------------------------------------------------------------------------------------------

    def set_route(self, route_id: int, lane: str, policy: Policy, *, enabled: bool) -> None:
        """Add or change a route; its waiting deliveries follow the new rules at once."""
        old = self._routes.get(route_id)
        self._routes[route_id] = (lane, policy, enabled)
        self.budgets.limit_route(route_id, policy.cost, policy.cost_per)
        if old is not None and old[0] != lane and old[0] in self._lanes:
            retries = self._lanes[old[0]].retries
            moved = [one for one in retries if one.route_id == route_id and not one.apart]
            self._moved += moved
            self._lanes[old[0]].retries = [one for one in retries if one not in moved]
        for key, group in self._groups.items():
            if key[0] == route_id:
                group.lane.ready.discard(key)
                group.policy, group.lane, group.enabled = policy, self._lane(lane, policy), enabled
                group.wake = float("inf")
                self._dirty.add(key)

    def remove_route(self, route_id: int) -> None:
        """Forget a route and what waits for it."""
        self._routes.pop(route_id, None)
        self.budgets.limit_route(route_id, 0.0, 0.0)
        for key in [key for key in self._groups if key[0] == route_id]:
            group = self._groups.pop(key)
            group.lane.ready.discard(key)
            self.waiting -= group.count

    def add(self, route_id: int, key: str, one: Waiting) -> None:
        """A delivery waits; one of a route that is not known any more is left out."""
        if route_id not in self._routes:
            return
        group = self._group((route_id, key))
        group.add(one)
        self.waiting += 1
        self._dirty.add(group.key)

    def put_back(self, release: Release, members: list[Waiting]) -> None:
        """Deliveries of a release did not go out after all; they are the first again."""
        if release.group[0] in self._routes and members:
            self._group(release.group).put_back(members)
            self.waiting += len(members)
            self._dirty.add(release.group)

    def refund(self, release: Release) -> None:
        """A release led to no dispatch: it counts neither for the budgets nor for the rate limit."""
        if release.turn:
            self.budgets.refund(release.group[0])
        group = self._groups.get(release.group)
        if group is not None and group.policy.rate_count and group.sent:
            group.sent.pop()
        self._dirty.update(self._groups)  # what the budget held back may go

    def discard(self, numbers: set[int]) -> None:
        """Deliveries do not wait any more: the operator dropped them."""
        for key, group in self._groups.items():
            if gone := group.discard(numbers):
                self.waiting -= gone
                self._dirty.add(key)

    def retry(self, lane: str, dispatch: Dispatch) -> None:
        """A dispatch waits until its `due_at` for another attempt, if its route still has this target."""
        current, policy, _ = self._routes.get(dispatch.route_id, (lane, Policy(), True))
        if current != lane and not dispatch.apart:
            self._moved.append(dispatch)
            return
        self._lane(lane, policy).retries.append(dispatch)
        self._wake(dispatch.due_at, lane)
        self._dirty_lanes.add(lane)

    def discard_retries(self, ids: set[str]) -> None:
        """Dispatches are not tried again."""
        for lane in self._lanes.values():
            lane.retries = [one for one in lane.retries if one.id not in ids]
        self._moved = [one for one in self._moved if one.id not in ids]

    def hurry(self, ids: set[str]) -> None:
        """Dispatches are due now."""
        for lane in self._lanes.values():
            for dispatch in lane.retries:
                if dispatch.id in ids:
                    dispatch.due_at = 0.0
            self._dirty_lanes.add(lane.name)

    def sent_before(self, route_id: int, key: str, times: list[float]) -> None:
        """Dispatches that went out before a restart, oldest first: what the rate limit counts."""
        if route_id in self._routes:
            self._group((route_id, key)).sent.extend(times)

    def done(self, lane: str) -> None:
        """A dispatch has ended, well or not; as a probe it has said what it can."""
        found = self._lanes[lane]
        found.active -= 1
        self._dirty_lanes.add(lane)
        for breaker in found.breakers:
            breaker.probing = False
        if self.gateway.open:
            self.gateway_changed()

    def breaker(self, lane: str) -> Breaker:
        """The breaker of a lane's target."""
        return self._lanes[lane].breaker

    def gateway_changed(self) -> None:
        """The Gateway's breaker changed: every lane is looked at again."""
        self._dirty_lanes.update(self._lanes)

    def budgets_changed(self) -> None:
        """A turn has cost something: what was ready may have to wait."""
        self._dirty.update(self._groups)

    def holds_changed(self) -> None:
        """What is paused has changed: everything is looked at again."""
        for group in self._groups.values():
            group.lane.ready.discard(group.key)
            group.wake = float("inf")
        self._dirty.update(self._groups)
        self._dirty_lanes.update(self._lanes)

    def held(self, route_id: int, now: float) -> tuple[float, str]:
        """(until when a pause holds a route, why); (0, "") when none does."""
        route = self._routes.get(route_id)
        return self.holds.hold(now, route_id, turn=route is None or route[1].turn)

    def clock_put_back(self, now: float) -> None:
        """The clock was ahead, and `now` is right: nothing is held until a time that the wrong one gave."""
        self.budgets.clock_put_back(now)
        self._heap.clear()
        for group in self._groups.values():
            group.clock_put_back(now)
            group.wake = float("inf")
        for lane in self._lanes.values():
            for breaker in lane.breakers:
                breaker.clock_put_back(now)
            for dispatch in lane.retries:
                if dispatch.changed_at > now:
                    dispatch.due_at = now + max(0.0, dispatch.due_at - dispatch.changed_at)
                    dispatch.changed_at = now
                self._wake(dispatch.due_at, lane.name)
        self._dirty.update(self._groups)
        self._dirty_lanes.update(self._lanes)

    # What follows ----------------------------------------------------------------------------------------------

    def release(self, now: float) -> Decision:
        """What goes out at `now`. What it returns counts as sent."""
        decision = Decision(moved=self._moved)
        self._moved = []
        while self._heap and self._heap[0][0] <= now:
            _, _, key = heapq.heappop(self._heap)
            if isinstance(key, str):
                self._dirty_lanes.add(key)
            elif key in self._groups:
                self._groups[key].wake = float("inf")
                self._dirty.add(key)
        while self._dirty or self._dirty_lanes:
            dirty, self._dirty = self._dirty, set()
            for group_key in dirty:
                self._examine(group_key, now, decision)
            lanes, self._dirty_lanes = self._dirty_lanes, set()
            for name in lanes:
                if name in self._lanes:
                    self._serve(self._lanes[name], now, decision)
        return decision

    def next_wake(self) -> float | None:
        """When `release` has something to do, if nothing changes before; None when nothing waits for time."""
        return self._heap[0][0] if self._heap else None

    def explain(self, route_id: int, key: str, now: float) -> tuple[str, float]:
        """Why a group waits, and until when (0: it depends on something else than time)."""
        group = self._groups.get((route_id, key))
        if group is None or not group.count:
            return "", 0.0
        until, why = self._gate(group, now)
        if not why:
            until, why = group.lane.blocked(now)
            why = why or f"{masked(group.lane.name)} is busy"
        return why, until if until != float("inf") else 0.0

    def gates(self, route_id: int, key: str, now: float) -> list[tuple[str, float, str]]:
        """Each gate that a delivery of the route meets now: (its name, until when it holds, why); no why when it lets
        through, and 0 where no time is known. Nothing for a route that is not known.
        """
        if route_id not in self._routes:
            return []
        lane, policy, enabled = self._routes[route_id]
        group = self._groups.get((route_id, key))
        if group is None:
            group = Group((route_id, key), policy, self._lanes.get(lane) or self._new_lane(lane, policy), enabled)
        gates = [*self._gates(group, now), ("target", *group.lane.blocked(now))]
        return [(name, until if why and until != float("inf") else 0.0, why) for name, until, why in gates]

    def lanes(self) -> list[Lane]:
        """All lanes."""
        return list(self._lanes.values())

    def _examine(self, key: GroupKey, now: float, decision: Decision) -> None:
        group = self._groups.get(key)
        if group is None:
            return
        before = len(decision.expired)
        following = group.expire(now, decision.expired, self._correction())
        self.waiting -= len(decision.expired) - before
        if not group.count:
            group.lane.ready.discard(key)
            self._forget(group, now)
            return
        until, why = self._gate(group, now)
        if why:
            group.lane.ready.discard(key)
        else:
            group.lane.ready.add(key)
            self._dirty_lanes.add(group.lane.name)
            until = float("inf")
        wake = min(until, following)
        if wake < group.wake:
            group.wake = wake
            self._wake(wake, key)

    def _gate(self, group: Group, now: float) -> tuple[float, str]:
        """(until when the group waits, why); ("", 0) when time does not hold it."""
        return next(((until, why) for _, until, why in self._gates(group, now) if why), (0.0, ""))

    def _gates(self, group: Group, now: float) -> Iterator[tuple[str, float, str]]:
        """Each gate that the route has, in order: (its name, until when the group waits, why); no why when it does
        not."""
        policy = group.policy
        yield "enabled", float("inf"), "" if group.enabled else "the route is disabled"
        yield "pause", *self.holds.hold(now, group.key[0], turn=policy.turn)
        if policy.quiet is not None:
            until = policy.quiet.until(now)
            yield "quiet hours", until or 0.0, "" if until is None else f"quiet hours {policy.quiet}"
        if policy.rate_count:
            while group.sent and group.sent[0] <= now - policy.rate_per:
                group.sent.popleft()
            spent = len(group.sent) - policy.rate_count
            until = group.sent[spent] + policy.rate_per if spent >= 0 else 0.0
            yield "rate", until, f"rate limit: {policy.rate_count} in {policy.rate_per:g} s" if spent >= 0 else ""
        if policy.batch_size and 0 < group.count < policy.batch_size:
            until = min(group.first(), now) + policy.batch_wait
            yield "batch", until, f"batch: {group.count} of {policy.batch_size}" if until > now else ""
        if policy.debounce and group.count:
            until = min(min(group.last(), now) + policy.debounce, min(group.first(), now) + policy.max_wait)
            yield "debounce", until, "debounce" if until > now else ""
        if policy.turn:
            until, limit = self.budgets.wait(now, group.key[0])
            yield "budget", until, f"{limit} is spent" if limit else ""

    def _serve(self, lane: Lane, now: float, decision: Decision) -> None:
        while lane.ready or lane.retries:
            blocked = lane.blocked_until(now)
            if blocked:
                if blocked != float("inf"):
                    self._wake(blocked, lane.name)
                return
            if not self._start_one(lane, now, decision):
                return

    def _start_one(self, lane: Lane, now: float, decision: Decision) -> bool:
        retry = min(
            (
                one
                for one in lane.retries
                if one.due_at <= now and lane.active < self._concurrency(one) and not self.held(one.route_id, now)[1]
            ),
            key=lambda one: (-one.priority, one.position),
            default=None,
        )
        group = min(
            (self._groups[key] for key in lane.ready if lane.active < self._groups[key].policy.concurrency),
            key=lambda one: (-one.head().priority, one.head().order),
            default=None,
        )
        if retry and group:
            head = group.head()
            if (-head.priority, head.order) < (-retry.priority, retry.position):
                retry = None
        if retry:
            lane.retries.remove(retry)
            decision.releases.append(Retry(lane.name, retry))
        elif group and group.policy.turn and self.budgets.wait(now, group.key[0])[1]:
            lane.ready.discard(group.key)  # others that were ready at the same moment have spent it
            self._dirty.add(group.key)
            return True
        elif group:
            before = len(decision.expired)
            members = self._take(group, now, decision.expired)
            self.waiting -= len(members) + len(decision.expired) - before
            lane.ready.discard(group.key)
            if not members:  # all of them had expired
                self._dirty.add(group.key)
                return True
            if group.policy.rate_count:
                group.sent.append(now)
            if group.policy.turn:
                self.budgets.spend(now, group.key[0])
            decision.releases.append(Release(group.key, lane.name, members, group.policy.turn))
            self._examine(group.key, now, decision)  # is there more of it that may go at once?
        else:
            return False
        lane.active += 1
        for breaker in lane.breakers:
            breaker.begin()
        return True

    def _take(self, group: Group, now: float, expired: list[Waiting]) -> list[Waiting]:
        policy = group.policy
        # With free places in the line there is no reason to wait together; what is left over for later is a digest.
        limit = policy.batch_size or (MAX_DIGEST_EVENTS if policy.digest else 1)
        if policy.digest and not policy.batch_size and policy.concurrency > 1:
            free = policy.concurrency - group.lane.active
            limit = max(1, -(-group.count // free))
        return group.take(limit, self._max_text, now - self._correction(), expired)

    def _concurrency(self, dispatch: Dispatch) -> int:
        route = self._routes.get(dispatch.route_id)
        return route[1].concurrency if route is not None else 1

    def _group(self, key: GroupKey) -> Group:
        group = self._groups.get(key)
        if group is None:
            lane, policy, enabled = self._routes[key[0]]
            group = self._groups[key] = Group(key, policy, self._lane(lane, policy), enabled)
        return group

    def _lane(self, name: str, policy: Policy) -> Lane:
        if name not in self._lanes:
            self._lanes[name] = self._new_lane(name, policy)
        return self._lanes[name]

    def _new_lane(self, name: str, policy: Policy) -> Lane:
        return Lane(name, (Breaker(), self.gateway) if policy.turn else (Breaker(),))

    def _forget(self, group: Group, now: float) -> None:
        """Drop an empty group, unless its rate limit still remembers."""
        if group.sent and group.sent[-1] > now - group.policy.rate_per:
            self._wake(group.sent[-1] + group.policy.rate_per, group.key)
            return
        self._groups.pop(group.key, None)

    def _wake(self, moment: float, key: GroupKey | str) -> None:
        if moment != float("inf"):
            heapq.heappush(self._heap, (moment, next(self._numbers), key))
