"""The bus of a house, as a receiver on another machine reaches it: over NATS, with a limited key.

It publishes on `key.<name>.<subject>`, where the house's sidecar takes events in (jetstream/key_door.py) and answers
when they are stored. Their ids are the door's own, and a repetition says for how long it has been tried: so the house
stores each once, also when its answer was lost and the stream remembers no ids from so long ago.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import structlog

from openclaw_nats.errors import (
    Filtered,
    InvalidEvent,
    InvalidInput,
    Mistake,
    NoAnswer,
    TooLarge,
    Unavailable,
)
from openclaw_nats.events.envelope import Event
from openclaw_nats.events.origin import Origin
from openclaw_nats.jetstream.connection import Connection
from openclaw_nats.keys.rights import FIRST_TRY, at_nats

log = structlog.get_logger(__name__)

AT_ONCE = 128  # half of what the house lets one key have on its way
_LOOK_SECONDS = 3.0
_REPEATED_SECONDS = 5.0  # what is younger, JetStream itself knows
_NO_EVENT = "hello"  # no subject of an event: the house answers that it is none, and stores nothing
_REVOKED, _NOT_ALLOWED, _TOO_LARGE, _FAULT, _LATER = 401, 403, 413, 500, 503
_LONGEST = 300


class _Error(msgspec.Struct):
    code: int = 0
    description: str = ""
    filtered: bool = False


class _Answer(msgspec.Struct):
    error: _Error | None = None
    seq: int = 0
    duplicate: bool = False


@dataclass(frozen=True)
class Handed:
    """What became of an event."""

    duplicate: bool


_decode = msgspec.json.Decoder(_Answer).decode


class House:
    """Stores events there. `problem` says why that can't be now; empty while it can."""

    def __init__(self, connection: Connection, key: str, clock: Callable[[], float] = time.time) -> None:
        self._connection = connection
        self._key = key
        self._clock = clock
        self._room = asyncio.Semaphore(AT_ONCE)
        self.problem = "the house was not asked yet"

    async def run(self) -> None:
        """Ask the house again and again whether it is there, until cancelled."""
        while True:
            with contextlib.suppress(Unavailable):  # which is noted
                await self._ask(_NO_EVENT, b"", {})
            await asyncio.sleep(_LOOK_SECONDS)

    async def take(self, event: Event, document: bytes, origin: Origin, retry_since: float | None) -> Handed:
        """See Ingest.take; whose words they are is for the house to say."""
        age = self._clock() - retry_since if retry_since is not None else 0.0
        headers = {FIRST_TRY: f"{age:.3f}"} if abs(age) >= _REPEATED_SECONDS else {}
        async with self._room:
            answer = await self._ask(event.subject, document, headers)
        if answer.error is not None:
            raise _rejected(answer.error)
        return Handed(answer.duplicate)

    async def _ask(self, subject: str, body: bytes, headers: dict[str, str]) -> _Answer:
        """Publish and wait for the house's answer; raise Unavailable while the house stores nothing of ours."""
        try:
            reply = await self._connection.start_request(at_nats(self._key, subject), body, headers)
            message = await self._connection.finish_request(reply)
        except NoAnswer:
            self._note("the house does not answer")
            raise
        except Unavailable as error:
            if "no responders" in str(error):
                error = Unavailable("nobody in the house listens: is its sidecar up, and the link to it?")
            self._note(str(error))
            raise error from None
        try:
            answer = _decode(message.data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            answer = _Answer(_Error(_LATER, "the house's answer could not be read"))
        if (problem := _problem(answer.error)) is not None:
            if answer.error is not None and answer.error.code == _NOT_ALLOWED:  # it is about this subject
                log.error("house.not_allowed", error=str(problem))
            else:
                self._note(str(problem))
            raise problem
        self._note("")
        return answer

    def _note(self, problem: str) -> None:
        if problem == self.problem:
            return
        self.problem = problem
        if problem:
            log.error("house.unavailable", error=problem)
        else:
            log.info("house.available")


def _problem(error: _Error | None) -> Unavailable | None:
    """Why the house stores nothing of ours now; None for an answer that is about one event."""
    if error is None or error.code not in (_REVOKED, _NOT_ALLOWED, _LATER):
        return None
    text = error.description[:_LONGEST]
    if error.code == _REVOKED:
        return Unavailable(f"the house refuses the key: {text}", retry_after=60)
    if error.code == _NOT_ALLOWED:
        return Unavailable(f"the house's key does not allow it: {text}", retry_after=60)
    found = Unavailable(f"the house can't store it now: {text}", retry_after=5)
    found.unknown = True  # its own JetStream may not have answered it
    return found


def _rejected(error: _Error) -> InvalidInput | Mistake:
    text = error.description[:_LONGEST]
    if error.filtered:
        return Filtered(text)
    if error.code == _TOO_LARGE:
        return TooLarge(text)
    return Mistake(f"the house failed on it: {text}") if error.code >= _FAULT else InvalidEvent(text)
