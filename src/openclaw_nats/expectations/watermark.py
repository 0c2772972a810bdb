"""Up to when every Gateway has uploaded its events: an absence before that is true, after it not known yet.

The plugin's report says how old the oldest event is that waits in its spool. What happened before that is in the
stream. A report may have been under way for as long as the plugin waits for its answer, which is taken off. Each
sidecar writes its Gateway's time into its lease, where the others read it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from openclaw_nats.contract.plugin import PluginReport
from openclaw_nats.errors import StreamConflict
from openclaw_nats.expectations.times import Times
from openclaw_nats.fleet.lease import Claim

ON_THE_WAY_SECONDS = 15.0  # TIMEOUT_MS in plugin/sidecar.js
ADOPTING_SECONDS = 15.0  # a new process of the Gateway looks for what a dead one has left
GONE_SECONDS = 7 * 86400.0
_LOOK_SECONDS = 5.0


class Watermark:
    """Of this Gateway by its plugin's reports, of others by their leases."""

    def __init__(self, gateway_id: str, leases: Callable[[], Awaitable[list[bytes]]], times: Times) -> None:
        self._gateway_id = gateway_id
        self._leases = leases
        self._times = times
        self._own = float("-inf")  # by the steady clock
        self._process = ("", 0.0)  # which process of the Gateway reports, and since when
        self._others: dict[str, float] = {}
        self._looked = float("-inf")

    def receive(self, report: PluginReport) -> None:
        """Take a report over."""
        now = self._times.steady()
        if self._process[0] != report.started_at:
            self._process = (report.started_at, now)
        if now - self._process[1] < ADOPTING_SECONDS:
            return
        oldest = report.spool.oldest_seconds if report.spool.events else 0.0
        self._own = max(self._own, now - oldest - ON_THE_WAY_SECONDS)

    @property
    def uploaded(self) -> float:
        """Up to when this Gateway has uploaded, by the stream's clock; 0 when that is not known."""
        if self._own == float("-inf"):
            return 0.0
        return self._times.now() - (self._times.steady() - self._own)

    async def look(self) -> None:
        """Read the other Gateways' leases, now and then; raise Unavailable."""
        now = self._times.steady()
        if now - self._looked < _LOOK_SECONDS:
            return
        try:
            bodies = await self._leases()
        except StreamConflict:
            bodies = []  # without leases there is no fleet
        self._looked = now
        self._others = {}
        for body in bodies:
            try:
                claim = msgspec.json.decode(body, type=Claim)
            except msgspec.MsgspecError:
                continue  # another version's
            if claim.gateway_id != self._gateway_id and self._times.now() - claim.written < GONE_SECONDS:
                self._others[claim.gateway_id] = self._times.steady_of(claim.uploaded)

    def behind(self, left: float, gateway: str) -> list[str]:
        """The Gateways that may still tell of what happened up to a deadline that was `-left` seconds ago.

        `gateway` is the only one that can, where that is known.
        """
        due = self._times.steady() + left
        marks = {self._gateway_id: self._own, **self._others}
        if gateway:
            marks = {gateway: marks.get(gateway, float("-inf"))}
        return sorted(name for name, mark in marks.items() if mark < due)
