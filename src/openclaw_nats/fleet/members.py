"""The fleet as one sidecar sees it: who answers, what each says of itself, and whose lease is there without an answer.

Answers are foreign: each is read against its shape, and one that makes no sense is counted and left out. Whether it
came from a sidecar that seals with our key is proven by an HMAC over the question, which nobody can know in advance.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

import msgspec

from openclaw_nats.contract.fleet import Fleet, FleetMember, MemberStatus, SilentMember
from openclaw_nats.errors import StreamConflict, Unavailable
from openclaw_nats.events.envelope import format_past
from openclaw_nats.events.seals import Seals
from openclaw_nats.fleet.lease import Claim

MOST_MEMBERS = 1000
LONGEST_ANSWER = 32 * 1024


class Neighbours(Protocol):
    """The port to the other sidecars on this NATS."""

    async def ask(self, question: bytes, expected: int) -> list[tuple[bytes, str]]:
        """Every answer to a question, with its proof; waits until `expected` have come, or no more come. Raises
        Unavailable.
        """
        ...


class Members:
    """Asks for the fleet, and answers when another asks."""

    def __init__(
        self,
        neighbours: Neighbours,
        seals: Seals,
        leases: Callable[[], Awaitable[list[bytes]]],
        status: Callable[[], Awaitable[MemberStatus]],
    ) -> None:
        self._neighbours = neighbours
        self._seals = seals
        self._leases = leases
        self._status = status

    async def answer(self, question: bytes) -> tuple[bytes, str]:
        """What this sidecar says of itself, and the proof that goes with it."""
        body = msgspec.json.encode(await self._status())
        return body, self._seals.answer(question, body)

    async def look(self) -> Fleet:
        """Ask everybody. Never raises: what can't be known is said."""
        problem = ""
        try:
            claims = list(_claims(await self._leases()))
        except (Unavailable, StreamConflict) as error:
            claims, problem = [], f"the leases can't be read: {error}"
        question = secrets.token_hex(16).encode()
        try:
            answers = await self._neighbours.ask(question, sum(not claim.ended for claim in claims))
        except Unavailable as error:
            answers, problem = [], str(error)
        members, unreadable = [], 0
        for body, proof in answers[:MOST_MEMBERS]:
            member = self._member(question, body, proof)
            if member is None:
                unreadable += 1
            else:
                members.append(member)
        members.sort(key=lambda one: (one.gateway_id, not one.delivers, one.host, one.installation))
        heard = {one.gateway_id for one in members}
        silent = [
            SilentMember(claim.gateway_id[:256], claim.place.host[:256], format_past(claim.written), claim.ended)
            for claim in claims
            if claim.gateway_id not in heard
        ]
        return Fleet(members, silent[:MOST_MEMBERS], unreadable, problem)

    def _member(self, question: bytes, body: bytes, proof: str) -> FleetMember | None:
        if len(body) > LONGEST_ANSWER:
            return None
        try:
            member = msgspec.json.decode(body, type=FleetMember)
        except (msgspec.MsgspecError, RecursionError):
            return None
        expected = self._seals.answer(question, body)
        member.proven = proof.isascii() and hmac.compare_digest(proof, expected)
        return member


def _claims(bodies: Iterable[bytes]) -> Iterable[Claim]:
    for body in bodies:
        try:
            yield msgspec.json.decode(body, type=Claim)
        except (msgspec.MsgspecError, RecursionError):
            continue  # another version's
