"""What the way out counts, as Prometheus metrics in a registry of our own."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_SIZE_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)


class IngestMeters:
    """Counters of the ingest path; children are made once, since labelling costs more than counting."""

    def __init__(self, registry: CollectorRegistry, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.nats_up = Gauge("openclaw_nats_nats_up", "Whether events can be stored", registry=registry)
        self.lease_held = Gauge(
            "openclaw_nats_lease_held",
            "Whether this sidecar is the one that delivers as its gateway.id",
            registry=registry,
        )
        self.clock_offset = Gauge(
            "openclaw_nats_clock_offset_seconds", "By how much this clock is ahead of NATS'", registry=registry
        )
        self.accepted = Counter("openclaw_nats_events_accepted", "Events stored in the stream", registry=registry)
        self.duplicates = Counter("openclaw_nats_events_duplicate", "Events already stored", registry=registry)
        self.filtered = Counter("openclaw_nats_events_filtered", "Events kept out by the filter", registry=registry)
        self.redacted = Counter("openclaw_nats_events_redacted", "Events with a secret masked", registry=registry)
        self._rejected = Counter(
            "openclaw_nats_events_rejected", "Events refused, by reason", ["reason"], registry=registry
        )
        self.latency = Histogram(
            "openclaw_nats_publish_seconds",
            "From the parsed request to JetStream's acknowledgement",
            registry=registry,
            buckets=_LATENCY_BUCKETS,
        )
        self.group_size = Histogram(
            "openclaw_nats_batch_events", "Events stored by one append", registry=registry, buckets=_SIZE_BUCKETS
        )
        self._monotonic = monotonic
        self._recent: deque[tuple[int, int]] = deque()

    def rejected(self, reason: str, count: int = 1) -> None:
        """Count refused events; `reason` is the name of a problem type."""
        self._rejected.labels(reason).inc(count)

    def stored(self, accepted: int, duplicates: int) -> None:
        """Count the outcome of a request."""
        self.accepted.inc(accepted)
        self.duplicates.inc(duplicates)
        if accepted:
            second = int(self._monotonic())
            if self._recent and self._recent[-1][0] == second:
                accepted += self._recent.pop()[1]
            self._recent.append((second, accepted))

    def last_minute(self) -> int:
        """Events stored in the last 60 seconds."""
        oldest = int(self._monotonic()) - 60
        while self._recent and self._recent[0][0] <= oldest:
            self._recent.popleft()
        return sum(count for _, count in self._recent)


class SpoolMeters:
    """The spool's state as the plugin last reported it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        gauge = "openclaw_nats_spool_"
        self.events = Gauge(gauge + "events", "Events waiting in the plugin's spool", registry=registry)
        self.bytes = Gauge(gauge + "bytes", "Bytes waiting in the plugin's spool", registry=registry)
        self.oldest = Gauge(gauge + "lag_seconds", "Age of the oldest waiting event", registry=registry)
        self.dropped = Gauge(
            gauge + "dropped_events", "Events the spool had to drop since it started", registry=registry
        )
        self.reported = Gauge(
            gauge + "reported_seconds", "When the plugin last reported (Unix time)", registry=registry
        )
