"""What came to the door, for the operator: counts, and the last requests without their bodies."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from prometheus_client import Counter as Counter_

from openclaw_nats.contract.sources import SourceLog
from openclaw_nats.events.envelope import format_seconds

KEPT = 50
_LONGEST = 200


@dataclass
class Tally:
    """Of one source."""

    accepted: int = 0
    repeated: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    last: str = ""
    taken: deque[SourceLog] = field(default_factory=lambda: deque(maxlen=KEPT))
    turned_away: deque[SourceLog] = field(default_factory=lambda: deque(maxlen=KEPT))

    @property
    def requests(self) -> list[SourceLog]:
        """The last ones, newest first: of those that were refused as many as of the others."""
        return sorted([*self.taken, *self.turned_away], key=lambda one: one.at, reverse=True)


class DoorMeters:
    """What came to the door, for Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter_(
            "openclaw_nats_source_requests",
            "Requests to sources by what was answered, and events of watchers (202, or 422 for what can be none)",
            ["source", "status"],
            registry=registry,
        )
        self.strangers = Counter_(
            "openclaw_nats_source_strangers", "Requests to addresses that no source has", registry=registry
        )


class DoorLog:
    """Kept in memory: it begins anew with the process. `tell` hears of each request, with its source's name."""

    def __init__(
        self,
        meters: DoorMeters,
        clock: Callable[[], float] = time.time,
        tell: Callable[[str, SourceLog], None] = lambda name, request: None,
    ) -> None:
        self._meters = meters
        self._counters: dict[tuple[str, int], Counter_] = {}
        self._tell = tell
        self._clock = clock
        self._tallies: dict[str, Tally] = {}
        self.strangers = 0

    def of(self, name: str) -> Tally:
        """What came to a source."""
        return self._tallies.setdefault(name, Tally())

    def forget(self, name: str) -> None:
        """The source is gone."""
        self._tallies.pop(name, None)
        self._counters = {key: one for key, one in self._counters.items() if key[0] != name}

    def stranger(self) -> None:
        """One more request to an address that no source has."""
        self.strangers += 1
        self._meters.strangers.inc()

    def note(
        self,
        name: str,
        status: int,
        *,
        reason: str = "",
        event: str = "",
        delivery: str = "",
        size: int = 0,
        peer: str = "",
        delivery_known: bool = False,
    ) -> None:
        """One more request."""
        if (counter := self._counters.get((name, status))) is None:
            counter = self._counters[name, status] = self._meters.requests.labels(name, str(status))
        counter.inc()
        tally = self.of(name)
        if status == 202:
            tally.accepted += 1
        elif status == 200 and delivery_known:
            tally.repeated += 1
        elif status < 300:
            pass  # a question of the provider's own
        else:
            tally.refused[status] += 1
        tally.last = format_seconds(self._clock())
        request = SourceLog(
            at=tally.last,
            status=status,
            reason=reason[:_LONGEST],
            event=event[:_LONGEST],
            delivery=delivery[:_LONGEST],
            bytes=size,
            peer=peer,
        )
        (tally.taken if status < 300 else tally.turned_away).appendleft(request)
        self._tell(name, request)
