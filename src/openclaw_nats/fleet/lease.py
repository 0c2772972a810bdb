"""The lease of a gateway.id: of several sidecars under one name, one delivers, and the others say so.

It is one message, written by compare-and-set. The holder writes it again every RENEW_SECONDS. Somebody else takes it
when it was not written for LEASE_SECONDS, which it measures on its own clock: no two clocks are compared. A process
that starts takes it at once from its own installation: from the same place, since it can't run there twice, and from
another one when that says that it has ended.

The holder goes on when NATS can't be asked: what its inbox holds is nobody else's. It stops when somebody else has the
lease, and when it stood still itself (a suspended machine) until it has asked again.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable

import msgspec
import structlog

from openclaw_nats.contract.health import Holder, IdentityHealth
from openclaw_nats.errors import Conflict, StreamConflict, Unavailable
from openclaw_nats.fleet.place import Place
from openclaw_nats.ports import LeaseStore

log = structlog.get_logger(__name__)

LEASE_SECONDS = 12.0
RENEW_SECONDS = 4.0
_LOOK_SECONDS = 1.0
_FIRST_SECONDS = 0.2
_KNOWN_NONCES = 8
_END_SECONDS = 1.0

WAITING, HELD, REFUSED, UNGUARDED = "waiting", "held", "refused", "unguarded"
_PAUSES = {WAITING: _FIRST_SECONDS, HELD: RENEW_SECONDS, REFUSED: _LOOK_SECONDS, UNGUARDED: RENEW_SECONDS}


class Claim(msgspec.Struct, frozen=True, rename="camel"):
    """What the lease's message says. `since` and `written` are the holder's clock, for operators only; `key` is by what
    the key is known with which it seals (Seals.fingerprint). Up to `uploaded` (the stream's clock) its Gateway has sent
    what its spool held; 0 when that is not known.
    """

    gateway_id: str
    place: Place
    nonce: str
    epoch: int
    since: float
    written: float
    ended: bool = False
    key: str = ""
    uploaded: float = 0.0


def steady() -> float:
    """Seconds that go on while the machine is suspended, where there is such a clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Lease:
    """One sidecar's part; `run` must be running. `allowed` says whether it may take in and deliver now."""

    def __init__(
        self,
        store: LeaseStore,
        gateway_id: str,
        place: Place,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = steady,
        key: str = "",
    ) -> None:
        self._store = store
        self._gateway_id = gateway_id
        self._place = place
        self._key = key
        self._clock = clock
        self._ticks = ticks
        self._revision = 0
        self._nonces: list[str] = []
        self._asked = float("-inf")
        self._seen = (0, 0.0)  # another holder's revision, and since when it is the same
        self._other: Claim | None = None
        self._for_good = False
        self._starting = True
        self.state = WAITING
        self.epoch = 0
        self.since = 0.0
        self.error = ""
        self.on_change: Callable[[], None] = lambda: None
        self.uploaded: Callable[[], float] = lambda: 0.0

    @property
    def allowed(self) -> bool:
        """Whether this sidecar is the one of its name."""
        if self.state == UNGUARDED:
            return True
        return self.state == HELD and self._ticks() - self._asked < LEASE_SECONDS

    async def wait(self) -> None:
        """Return when this sidecar is the one of its name."""
        while not self.allowed:  # noqa: ASYNC110  (time makes it true as well as false)
            await asyncio.sleep(0.1)

    @property
    def problem(self) -> str:
        """Why nothing is delivered; empty when this sidecar is the one of its name."""
        if self.state == REFUSED and self._other is not None:
            name, other = self._gateway_id, self._other.place
            if self._for_good:
                return (
                    f"this is a copy of the installation that runs as gateway.id {name!r} at {other.shown}: nothing is "
                    "delivered here. Give one of them another gateway.id, or stop that one and restart this one"
                )
            return (
                f"another sidecar has the same gateway.id {name!r} ({other.shown}): nothing is delivered here. Give "
                f"one of them another gateway.id; when that one is gone, this one begins after {LEASE_SECONDS:.0f} s"
            )
        if self.state == WAITING:
            return f"the lease of gateway.id {self._gateway_id!r} is not taken yet: {self.error or 'asking NATS'}"
        return "" if self.allowed else "this sidecar stood still, and asks whether it is still the one of its name"

    def report(self) -> IdentityHealth:
        """The part of `/api/health` about it."""
        other = self._other if self.state == REFUSED else None
        return IdentityHealth(
            gateway_id=self._gateway_id,
            state=self.state,
            epoch=self.epoch,
            last_error=self.problem if not self.allowed else self.error,
            holder=Holder(other.place.host, other.place.folder) if other is not None else None,
        )

    async def run(self) -> None:
        """Take, keep or wait for the lease until cancelled."""
        while True:
            await self.look()
            stood_still = self.state == HELD and not self.allowed
            await asyncio.sleep(0 if stood_still else _PAUSES[self.state])

    async def look(self) -> None:
        """Take, keep or look at the lease once."""
        before = (self.state, self.problem)
        asked = self._ticks()  # before the answer, which may be old news to a process that stood still meanwhile
        try:
            await self._step()
            self.error = ""
        except Unavailable as error:
            self.error = str(error)
        except StreamConflict as error:
            self._unguarded(str(error))
        self._asked = asked
        if (self.state, self.problem) != before:
            self.on_change()

    @property
    def write_error(self) -> str:
        """Why the lease could not be written the last time: then nothing else can be stored either."""
        return self.error if self.state == HELD else ""

    async def _step(self) -> None:
        if self.state == HELD:
            await self._renew()
            return
        found = await self._store.read()
        claim = _claim(found[1]) if found is not None else None
        if found is None or claim is None or self._is_ours(claim):
            await self._take(found[0] if found is not None else 0, claim)
            return
        self._starting = False
        now = self._ticks()
        if self._seen[0] != found[0]:
            alive = self._seen[0] != 0
            self._seen = (found[0], now)
            self._refuse(claim, alive=alive)
        elif now - self._seen[1] >= LEASE_SECONDS and not self._for_good:
            await self._take(found[0], claim)

    def _is_ours(self, claim: Claim) -> bool:
        """Whether the claim is that of the process before this one, or a write of ours whose answer was lost."""
        if claim.nonce in self._nonces:
            return True
        if self._for_good or not (self._starting or claim.ended):
            return False
        return claim.place == self._place or (claim.ended and claim.place.installation == self._place.installation)

    async def _take(self, revision: int, before: Claim | None) -> None:
        now = self._clock()
        epoch = before.epoch + 1 if before is not None else 1
        try:
            self._revision = await self._write(revision, epoch, now)
        except Conflict:
            return  # somebody was faster: looked at again in a moment
        self.state, self.epoch, self.since, self._starting = HELD, epoch, now, False
        self._seen, self._other = (0, 0.0), None
        log.info("lease.taken", gateway=self._gateway_id, epoch=epoch, before=before.place.shown if before else "")

    async def _renew(self) -> None:
        try:
            self._revision = await self._write(self._revision, self.epoch, self._clock())
        except Conflict:
            self.state = WAITING
            found = await self._store.read()
            claim = _claim(found[1]) if found is not None else None
            if found is not None and claim is not None and claim.nonce in self._nonces:
                self.state, self._revision = HELD, found[0]  # our own write, whose answer was lost
                return
            self.epoch = 0
            if found is not None and claim is not None:
                self._seen = (found[0], self._ticks())
                self._refuse(claim, alive=True)
            log.error("lease.lost", gateway=self._gateway_id, to=claim.place.shown if claim else "nobody")

    async def end(self) -> None:
        """This process stops: the next one of this installation need not wait. Never raises."""
        if self.state != HELD:
            return
        self.state = WAITING
        try:
            async with asyncio.timeout(_END_SECONDS):
                await self._write(self._revision, self.epoch, self._clock(), ended=True)
        except (TimeoutError, Conflict, Unavailable, StreamConflict) as error:
            log.debug("lease.not_ended", error=str(error))

    async def _write(self, revision: int, epoch: int, now: float, *, ended: bool = False) -> int:
        nonce = secrets.token_hex(8)
        self._nonces = [*self._nonces[1 - _KNOWN_NONCES :], nonce]
        claim = Claim(
            self._gateway_id, self._place, nonce, epoch, self.since or now, now, ended, self._key, self.uploaded()
        )
        return await self._store.write(msgspec.json.encode(claim), revision)

    def _refuse(self, other: Claim, *, alive: bool) -> None:
        if alive and (self._place.is_copy_of(other.place) or self._place == other.place):
            self._for_good = True
        if self.state != REFUSED or self._other is None or self._other.place != other.place:
            log.warning("lease.refused", gateway=self._gateway_id, holder=other.place.shown)
        self.state, self._other, self.since = REFUSED, other, 0.0

    def _unguarded(self, reason: str) -> None:
        if self.state != UNGUARDED:
            log.warning("lease.unguarded", gateway=self._gateway_id, error=reason)
        self.state = UNGUARDED
        self.error = f"a second sidecar of this gateway.id would not be noticed: {reason}"


def _claim(body: bytes) -> Claim | None:
    """None for what can't be read: a sidecar that can't say who it is has no claim."""
    try:
        return msgspec.json.decode(body, type=Claim)
    except msgspec.MsgspecError:
        return None
