"""What flow control works with: a route's policy, the group in which deliveries wait, the lane in front of a target."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from openclaw_nats.inbound.breaker import Breaker
from openclaw_nats.inbound.quiet_hours import QuietHours
from openclaw_nats.storage.rows import Dispatch, Waiting

GroupKey = tuple[int, str]
# What an event takes of a digest's text at most: its data is cut there by the default template (rendering.py).
EVENT_TEXT = 4000
EVENT_HEAD = 160


@dataclass(frozen=True)
class Policy:
    """A route's flow control. Seconds; 0 means: not asked for. `digest`: what waits goes out together."""

    debounce: float = 0.0
    max_wait: float = 0.0
    batch_size: int = 0
    batch_wait: float = 0.0
    rate_count: int = 0
    rate_per: float = 0.0
    concurrency: int = 1
    quiet: QuietHours | None = None
    expires_after: float = 0.0
    cost: float = 0.0
    cost_per: float = 0.0
    digest: bool = True
    turn: bool = True


@dataclass
class Lane:
    """The line in front of one target."""

    name: str
    breakers: tuple[Breaker, ...]
    active: int = 0
    ready: set[GroupKey] = field(default_factory=set)
    retries: list[Dispatch] = field(default_factory=list)

    @property
    def breaker(self) -> Breaker:
        """The target's own breaker."""
        return self.breakers[0]

    def blocked_until(self, now: float) -> float:
        """0 when a dispatch may go; else when to look again, infinity when a probe's answer decides."""
        if all(breaker.allows(now) for breaker in self.breakers):
            return 0.0
        return max(
            (breaker.open_until if now < breaker.open_until else float("inf"))
            for breaker in self.breakers
            if not breaker.allows(now)
        )

    def blocked(self, now: float) -> tuple[float, str]:
        """(until when the target is left alone, why); (0, "") when it is not."""
        until = self.blocked_until(now)
        errors = "; ".join(breaker.last_error for breaker in self.breakers if breaker.last_error)
        return (until, f"the target fails: {errors}") if until else (0.0, "")


@dataclass
class Group:
    """The waiting deliveries of one route and flow key, by priority, in the order in which they came."""

    key: GroupKey
    policy: Policy
    lane: Lane
    enabled: bool
    queues: dict[int, deque[Waiting]] = field(default_factory=dict)
    count: int = 0
    sent: deque[float] = field(default_factory=deque)
    wake: float = float("inf")

    def add(self, one: Waiting) -> None:
        """One more waits, behind the others of its priority."""
        self.queues.setdefault(one.priority, deque()).append(one)
        self.count += 1

    def put_back(self, members: list[Waiting]) -> None:
        """They were taken and did not go: they are the first again."""
        for one in reversed(members):
            self.queues.setdefault(one.priority, deque()).appendleft(one)
        self.count += len(members)

    def discard(self, numbers: set[int]) -> int:
        """Take some out; how many of them were here."""
        before = self.count
        for priority, queue in self.queues.items():
            self.queues[priority] = deque(one for one in queue if one.delivery not in numbers)
        self.count = sum(len(queue) for queue in self.queues.values())
        return before - self.count

    def clock_put_back(self, now: float) -> None:
        """Nothing has arrived or gone out later than now."""
        self.sent = deque(min(at, now) for at in self.sent)
        for queue in self.queues.values():
            for one in queue:
                one.arrived, one.stored = min(one.arrived, now), min(one.stored, now)

    def first(self) -> float:
        """When the oldest of those that wait arrived."""
        return min(queue[0].arrived for queue in self.queues.values() if queue)

    def last(self) -> float:
        """When the newest of those that wait arrived: like everything here it follows from the inbox alone."""
        return max(queue[-1].arrived for queue in self.queues.values() if queue)

    def head(self) -> Waiting:
        """Who goes first."""
        return self.queues[max(priority for priority, queue in self.queues.items() if queue)][0]

    def expire(self, now: float, expired: list[Waiting], correction: float = 0.0) -> float:
        """Take out who has waited too long; when the next one will have.

        Events are stored by the stream's clock: `now` is ahead of it by `correction`.
        """
        after, following = self.policy.expires_after, float("inf")
        if not after:
            return following
        for queue in self.queues.values():
            while queue and queue[0].stored + after + correction <= now:
                expired.append(queue.popleft())
                self.count -= 1
            if queue:
                following = min(following, queue[0].stored + after + correction)
        return following

    def take(self, limit: int, room: int, now: float, expired: list[Waiting]) -> list[Waiting]:
        """The first ones, at most `limit` and `room` bytes of text, at least one. `now` is by the stream's clock."""
        members: list[Waiting] = []
        after = self.policy.expires_after
        for priority in sorted(self.queues, reverse=True):
            queue = self.queues[priority]
            while queue and len(members) < limit:
                one = queue[0]
                if after and one.stored + after <= now:
                    expired.append(queue.popleft())
                    self.count -= 1
                    continue
                room -= min(one.size, EVENT_TEXT) + EVENT_HEAD
                if members and room < 0:
                    return members
                members.append(queue.popleft())
                self.count -= 1
        return members


@dataclass
class Release:
    """Deliveries of one group that go out together, now."""

    group: GroupKey
    lane: str
    members: list[Waiting]
    turn: bool


@dataclass
class Retry:
    """A dispatch that is tried again, now."""

    lane: str
    dispatch: Dispatch


@dataclass
class Decision:
    """What is to be done now."""

    releases: list[Release | Retry] = field(default_factory=list)
    expired: list[Waiting] = field(default_factory=list)
    moved: list[Dispatch] = field(default_factory=list)  # their route has another target now
