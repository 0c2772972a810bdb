"""Whether an event becomes a delivery of a route: the gates of the intake, each with the reason for a no.

The intake asks them until one says no; `routes why` asks all of them. Neither has rules of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import msgspec
import structlog

from openclaw_nats.errors import Poison, Unavailable
from openclaw_nats.events.decoding import Decoded, decode_message
from openclaw_nats.events.lateness import too_late
from openclaw_nats.events.makers import Maker
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.seals import TICK
from openclaw_nats.events.subjects import DEAD_LETTERS
from openclaw_nats.inbound.forgeries import forgery
from openclaw_nats.inbound.judging import Judge
from openclaw_nats.inbound.loop_guard import LoopGuard
from openclaw_nats.inbound.route import Route

log = structlog.get_logger(__name__)

_TICK_SECONDS = 1.0  # a tick that fires on time is stored within that
_SEALED_SECONDS = 10.0  # and what is sealed, within that


class _Letter(msgspec.Struct, rename="camel"):
    route_id: int


class _AboutLetter(msgspec.Struct):
    data: _Letter


@dataclass
class Candidate:
    """One message, and what the gates ask of it: each worked out when the first gate asks, once for all routes."""

    message: StoredMessage
    admission: Admission

    @cached_property
    def sealed_at(self) -> float | None:
        """Until when it was stored for the first time; None for what is none of ours."""
        sealed = self.admission.sealed_at(self.message)
        if sealed is None:
            return None
        return sealed + (_TICK_SECONDS if self.message.seal.startswith(TICK) else _SEALED_SECONDS)

    @cached_property
    def tick_owner(self) -> str:
        """Whose tick it is."""
        return self.admission.tick_owner(self.message)

    @cached_property
    def forged(self) -> str:
        """Why it is not what its subject says; empty when it is."""
        return forgery(self.message)

    @cached_property
    def dead_route(self) -> int | None:
        """The number of the route whose dead letter it is about."""
        try:
            return msgspec.json.decode(self.decoded.document, type=_AboutLetter).data.route_id
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None

    @property
    def decoded(self) -> Decoded:
        """The event in it."""
        return self._read[0]

    @property
    def broken(self) -> str:
        """Why it can't be read as an event; empty when it can."""
        return self._read[1]

    @cached_property
    def hops(self) -> int:
        """How many dispatches deep it is."""
        return self.admission.guard.hops_of(self.decoded.runid, self.decoded.hops)

    @cached_property
    def late(self) -> str:
        """Why it came too late to be delivered; empty when it did not."""
        late = too_late(self.message.headers, self.message.time / 1e9)
        return "" if late is None else f"its schedule fired {late:.0f} s late, and its job skips runs that late"

    @cached_property
    def _read(self) -> tuple[Decoded, str]:
        """See decode_message; a mistake of ours there costs this one message."""
        try:
            return decode_message(self.message)
        except Exception as error:
            sequence = self.message.sequence
            log.error("intake.bug", sequence=sequence, error=repr(error), exc_info=True)
            return Decoded(f"agent_events:{sequence}", b"{}"), f"a fault in openclaw-nats: {error!r}"


@dataclass(frozen=True)
class Admission:
    """The gates. Those that return text say why not, and nothing when they let an event through.

    `may_see` says whether an agent's route may bring it an event of such an owner (events/makers.py). `sealed_at` is
    when a sealed event was stored first, whose copy may be stored again later (events/seals.py); None for what is none
    of ours. `tick_owner` is whose tick a message is (waking.py).
    """

    guard: LoopGuard
    judge: Judge
    sealed_at: Callable[[StoredMessage], float | None]
    tick_owner: Callable[[StoredMessage], str]
    may_see: Callable[[Maker, Mapping[str, str]], bool]

    def look_at(self, message: StoredMessage) -> Candidate:
        """A message, for the gates."""
        return Candidate(message, self)

    def too_early(self, route: Route, one: Candidate) -> str:
        """It was there before the route was."""
        if one.message.sequence > route.after_sequence:
            return ""
        return (
            "it was stored before the route was made or enabled, or got this pattern: the route takes what is stored "
            f"after event {route.after_sequence}"
        )

    def old_copy(self, route: Route, one: Candidate) -> str:
        """It was stored before the route was made, and again after it: as a copy."""
        if one.sealed_at is None or not one.sealed_at < route.made_at <= one.message.time / 1e9:
            return ""
        return "it is a copy of an event that was stored before the route was made"

    def of_another(self, route: Route, one: Candidate) -> str:
        """It is not a tick of the job or timer whose ticks alone the route takes."""
        return "" if not route.owner or route.owner == one.tick_owner else "it is a tick of another job or timer"

    def own_letter(self, route: Route, one: Candidate) -> str:
        """It says that a delivery of this very route is a dead letter: the next one would be, too."""
        if not one.message.subject.startswith(DEAD_LETTERS) or one.dead_route != route.id:
            return ""
        return "it is about a dead letter of this route itself"

    def unseen(self, route: Route, one: Candidate) -> str:
        """An agent made the route, and may not see the event."""
        maker = None if route.owner else route.maker  # a job's own ticks are for whoever made it
        if maker is None or all(self.may_see(maker, owner) for owner in one.decoded.owners):
            return ""
        return f"agent {maker.agent}, which made the route, may not see this event (agents.read)"

    async def judged(self, route: Route, one: Candidate) -> tuple[str | None, str]:
        """As `asked`. Of one that can't be read, or that is forged, nothing is asked: a route gets it as what it is."""
        return ("", one.broken) if one.broken or one.forged else await self.asked(route, one)

    async def asked(self, route: Route, one: Candidate) -> tuple[str | None, str]:
        """(the flow key, None when a condition does not hold; what failed). Raises Unavailable when nothing can say."""
        if not route.looks_inside:
            return "", ""
        try:
            return await self.judge.judge(route, one.decoded), ""
        except Poison as error:
            return "", str(error)
        except Unavailable:
            raise
        except Exception as error:
            log.error("intake.bug", sequence=one.message.sequence, route=route.name, error=repr(error), exc_info=True)
            return "", f"a fault in openclaw-nats: {error!r}"
