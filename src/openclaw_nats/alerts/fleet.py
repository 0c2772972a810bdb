"""Which other sidecars on this NATS have stopped without a word: their leases are not written any more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from openclaw_nats.errors import StreamConflict, Unavailable
from openclaw_nats.fleet.lease import Claim

AWAY_SECONDS = 60.0
_MOST = 200


class Fleet:
    """Looks at all leases; `ticks` is a clock of our own, so that no two machines' clocks are compared. Only claims
    with our key count.
    """

    def __init__(
        self, gateway_id: str, key: str, leases: Callable[[], Awaitable[list[bytes]]], ticks: Callable[[], float]
    ) -> None:
        self._gateway_id = gateway_id
        self._key = key
        self._leases = leases
        self._ticks = ticks
        self._seen: dict[str, tuple[Claim, float]] = {}

    async def away(self) -> list[str] | None:
        """The gateway.ids of those; None when that is not known now."""
        now = self._ticks()
        try:
            bodies = await self._leases()
        except (Unavailable, StreamConflict):
            self._seen.clear()  # nobody could write meanwhile
            return None
        seen: dict[str, tuple[Claim, float]] = {}
        for body in bodies[:_MOST]:
            try:
                claim = msgspec.json.decode(body, type=Claim)
            except msgspec.MsgspecError:
                continue  # another version's
            if claim.ended or claim.gateway_id == self._gateway_id or claim.key != self._key:
                continue
            before = self._seen.get(claim.gateway_id)
            seen[claim.gateway_id] = before if before is not None and before[0] == claim else (claim, now)
        self._seen = seen
        return sorted(name for name, (_, since) in seen.items() if now - since >= AWAY_SECONDS)
