"""Events of a schedule that came too late to be wanted.

A server that was down when a schedule was due fires it when it is back. It is given how long that makes sense (message
TTL), but fires and removes overdue messages at the same moment, so that either can come first (seen on nats-server
2.15.1 and in its source). Such an event says by its headers when it was due and how late it may be.
"""

from __future__ import annotations

from collections.abc import Mapping

DUE = "Openclaw-Nats-Due"
KEEP = "Openclaw-Nats-Keep"


def headers_for(due: float, keep: float) -> dict[str, str]:
    """The headers of an event that is due at `due` (seconds since the Unix epoch) and wanted for `keep` seconds."""
    return {DUE: f"{due:.3f}", KEEP: f"{keep:.3f}"}


def too_late(headers: Mapping[str, str], stored: float) -> float | None:
    """How late an event came, in seconds, if that is later than it is wanted; else None."""
    try:
        due, keep = float(headers[DUE]), float(headers[KEEP])
    except (KeyError, ValueError):
        return None
    return stored - due if stored - due > keep else None
