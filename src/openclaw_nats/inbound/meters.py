"""What the way in counts, as Prometheus metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
_EVENTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class InboundMeters:
    """Counters of intake, flow control and delivery; children by route are made once."""

    def __init__(self, registry: CollectorRegistry) -> None:
        prefix = "openclaw_nats_"
        self.events = Counter(prefix + "inbox_events", "Events taken from the stream for routes", registry=registry)
        self.duplicates = Counter(
            prefix + "inbox_duplicates", "Deliveries that the inbox had already", registry=registry
        )
        self.missed = Counter(
            prefix + "events_missed", "Events that left the stream before this sidecar read them", registry=registry
        )
        self.forged = Counter(
            prefix + "events_forged",
            "Events from outside on subjects of the Gateway or the bus, or NATS acknowledgements",
            registry=registry,
        )
        self._matched = Counter(
            prefix + "deliveries", "Deliveries made (an event for a route)", ["route"], registry=registry
        )
        self._ended = Counter(
            prefix + "deliveries_ended", "Deliveries by how they ended", ["route", "state"], registry=registry
        )
        self.turns = Counter(prefix + "turns", "Agent turns that were asked for", ["route"], registry=registry)
        self.avoided = Counter(
            prefix + "turns_avoided",
            "Events merged into another event's turn",
            ["route"],
            registry=registry,
        )
        self.failures = Counter(
            prefix + "delivery_failures", "Failed attempts, by kind of target", ["kind"], registry=registry
        )
        self.digest = Histogram(
            prefix + "dispatch_events", "Events in one dispatch", registry=registry, buckets=_EVENTS
        )
        self.latency = Histogram(
            prefix + "delivery_seconds", "From the inbox to the receipt", registry=registry, buckets=_SECONDS
        )
        self.loops = Gauge(prefix + "loop_guard_stopped", "Deliveries stopped by the loop guard", registry=registry)
        self.waiting = Gauge(prefix + "deliveries_waiting", "Deliveries that wait to go out", registry=registry)
        self.open_breakers = Gauge(prefix + "breakers_open", "Targets whose circuit breaker is open", registry=registry)
        self.budget = Gauge(prefix + "budget_used", "Turns that count against a budget", ["budget"], registry=registry)
        self.inbox_bytes = Gauge(prefix + "inbox_bytes", "Bytes of the inbox on disk", registry=registry)
        self.inbox_max_bytes = Gauge(prefix + "inbox_max_bytes", "What inbox.max_bytes allows", registry=registry)
        self.inbox_forgotten = Counter(
            prefix + "inbox_forgotten", "Receipts and dead letters removed to keep inbox.max_bytes", registry=registry
        )
        self._children: dict[tuple[str, str], Counter] = {}

    def matched(self, route: str) -> None:
        """An event matched a route."""
        self._child(self._matched, "matched", route).inc()

    def ended(self, route: str, state: str, count: int = 1) -> None:
        """Deliveries reached an end state."""
        key = (route, state)
        if key not in self._children:
            self._children[key] = self._ended.labels(route, state)
        self._children[key].inc(count)

    def turn(self, route: str, events: int) -> None:
        """A turn was asked for, with so many events."""
        self._child(self.turns, "turns", route).inc()
        if events > 1:
            self._child(self.avoided, "avoided", route).inc(events - 1)

    def _child(self, counter: Counter, name: str, route: str) -> Counter:
        key = (name, route)
        if key not in self._children:
            self._children[key] = counter.labels(route)
        return self._children[key]
