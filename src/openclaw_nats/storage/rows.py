"""What the inbox holds, as values."""

from __future__ import annotations

from dataclasses import dataclass, field

OPEN = ("pending", "sending", "failed")
ENDED = ("delivered", "dead", "dropped", "expired")
STATES = OPEN + ENDED
BEHIND_ALL = 2**61  # added to the order of what is replayed: what happens now goes first


@dataclass(slots=True)
class NewDelivery:
    """One event for one route, as the intake found it. `place` is which event it is (events/identity.py); `event_id`
    is what its publisher calls it, `origin` who said it (events/origin.py). Times are seconds since the Unix epoch.
    `replay` is the number of the replay that makes it, 0 for none, and `first_stored` then when the event was stored.
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
    replay: int = 0
    first_stored: float = 0.0


@dataclass(slots=True)
class Waiting:
    """A delivery that waits to go out. `order` is its event's sequence in the stream; `arrived`: when it was taken.

    Of a replay `order` is behind that of every event, and `first_stored` is when the event itself was stored.
    """

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
    replay: int = 0
    first_stored: float = 0.0


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
    replay: int = 0

    @property
    def apart(self) -> bool:
        """Whether it goes to a session of its own, whatever its route's target is: a turn for an approval."""
        return '"grant":{' in self.target  # JSON that parcels.py wrote: within a text the quotes would be escaped

    @property
    def run_key(self) -> str:
        """The idempotency key of its present run: its id, and for a second run after a failed one a number."""
        return self.id if self.runs == 1 else f"{self.id}-{self.runs}"
