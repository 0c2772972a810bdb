"""What the inbox holds, as values."""

from __future__ import annotations

from dataclasses import dataclass, field

OPEN = ("pending", "sending", "failed")
ENDED = ("delivered", "dead", "dropped", "expired")
STATES = OPEN + ENDED


@dataclass(slots=True)
class NewDelivery:
    """One event for one route, as the intake found it. `place` is which event it is (events/identity.py); `event_id`
    is what its publisher calls it, `origin` who said it (events/origin.py). Times are seconds since the Unix epoch.
    """

    place: str
    event_id: str
    route_id: int
    route: str
    subject: str
    session: str
    sequence: int
    state: str
    reason: str
    flow_key: str
    priority: int
    hops: int
    size: int
    stored_at: float
    document: bytes
    origin: str = "outside"
    tainted: bool = True


@dataclass(slots=True)
class Waiting:
    """A delivery that waits to go out. `order` is its event's sequence in the stream; `arrived`: when it was taken."""

    delivery: int
    place: str
    event_id: str
    order: int
    priority: int
    hops: int
    size: int
    stored: float
    arrived: float
    origin: str = "outside"
    tainted: bool = True


@dataclass(slots=True)
class Dispatch:
    """One request to a target. `runs` counts the agent runs that it was given to, `rerun` says that the next attempt
    is a new one; `due_at` is when it may be tried again, `changed_at` when that was decided.
    """

    id: str
    route_id: int
    route: str
    flow_key: str
    target: str
    body: str
    events: int
    priority: int
    hops: int
    position: int
    created_at: float
    attempts: int = 0
    failures: int = 0
    runs: int = 1
    way: str = ""
    due_at: float = 0.0
    changed_at: float = 0.0
    rerun: bool = False
    deliveries: list[int] = field(default_factory=list)

    @property
    def apart(self) -> bool:
        """Whether it goes to a session of its own, whatever its route's target is: a turn for an approval."""
        return '"grant":{' in self.target  # JSON that parcels.py wrote: within a text the quotes would be escaped

    @property
    def run_key(self) -> str:
        """The idempotency key of its present run: its id, and for a second run after a failed one a number."""
        return self.id if self.runs == 1 else f"{self.id}-{self.runs}"
