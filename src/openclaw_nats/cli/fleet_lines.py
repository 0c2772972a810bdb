"""What `status` says about a sidecar among others on one NATS."""

from __future__ import annotations

from typing import Any

from openclaw_nats.cli.output import step
from openclaw_nats.health.recently_missed import recently_missed
from openclaw_nats.terminal_text import plural


def show_fleet(delivery: dict[str, Any]) -> None:
    """From the delivery part of the health report: a takeover, and for a week what was missed."""
    for text in delivery.get("notes", []):
        step("!", text)
    if missed := recently_missed(delivery):
        step(
            "!",
            f"{plural(missed['last'], 'event')} (on any subject) left the stream before this sidecar read them, "
            f"{missed['total']} in all",
            f"last at {missed['lastAt']}; stream.max_age and stream.max_bytes say how long events are kept",
        )
