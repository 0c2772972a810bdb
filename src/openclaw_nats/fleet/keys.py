"""Whether the other sidecars on this NATS seal with the same key: only then they believe each other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from openclaw_nats.errors import StreamConflict, Unavailable
from openclaw_nats.fleet.lease import claims_of

LOOK_SECONDS = 60.0
_SOON_SECONDS = 5.0


class OtherKeys:
    """Looks at all leases now and then; `note` is for operators, empty when all have the same key."""

    def __init__(self, gateway_id: str, key: str, leases: Callable[[], Awaitable[list[bytes]]]) -> None:
        self._gateway_id = gateway_id
        self._key = key
        self._leases = leases
        self.note = ""

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            known = await self.look()
            await asyncio.sleep(LOOK_SECONDS if known else _SOON_SECONDS)

    async def look(self) -> bool:
        """Look once; whether the leases could be read."""
        try:
            bodies = await self._leases()
        except (Unavailable, StreamConflict):
            return False
        others = set()
        for claim in claims_of(bodies):
            if not claim.ended and claim.gateway_id != self._gateway_id and claim.key != self._key:
                others.add(claim.gateway_id[:64])
        names = ", ".join(repr(one) for one in sorted(others)[:5])
        self.note = (
            f"sidecars of other Gateways seal with another key ({names}): what they store is outside here. To have "
            "them believed, give all of them one identity-key (docs/how-to/fleet.md)"
            if others
            else ""
        )
        return True
