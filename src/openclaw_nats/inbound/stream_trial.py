"""A route's conditions are tried on the newest events of its pattern when it is saved: what fails is said at once.

Saving waits neither for a NATS that does not answer nor for a slow condition: what was not tried is said as a note.
Routes of agents are not tried: what an event says may not be theirs to know.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from openclaw_nats.errors import InvalidRoute, OpenClawNatsError, Poison
from openclaw_nats.events.decoding import decode_message
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.inbound.judging import Judge
from openclaw_nats.inbound.route import Route
from openclaw_nats.inbound.trial import HINT, failure_on_made, proves

EVENTS = 20
MAX_BYTES = 4 << 20
READ_SECONDS = 1.5
JUDGE_SECONDS = 2.0
_MOST_SHOWN = 300  # characters of a reason

# The newest events on a pattern, oldest first: (pattern, how many).
Newest = Callable[[str, int], AsyncIterator[StoredMessage]]


class StreamTrial:
    """Tries routes that are being saved."""

    def __init__(self, newest: Newest, judge: Judge) -> None:
        self._newest = newest
        self._judge = judge
        self._reads: set[asyncio.Task[list[StoredMessage]]] = set()

    async def check(self, route: Route) -> str:
        """What is to be said of the conditions, empty for nothing; raise InvalidRoute when they can never work."""
        if not route.looks_inside:
            return ""
        made = failure_on_made(route)
        messages, note = await self._read(route.pattern)
        tried, failed = await self._judge_all(route, messages)
        if len(failed) < tried:
            return _told(route, tried, failed) if failed else ""
        sources = [one.source for one in route.conditions] + ([route.key.source] if route.key else [])
        if made is not None and (made.proven or any(proves(reason, *sources) for _, reason in failed)):
            reason = made.reason
            text = f"{made.field} fails on every event: {reason}"
            if failed:
                text += f" (also on {_each(tried)} of its pattern, such as {_shown(failed[-1])})"
            raise InvalidRoute(text, hint=HINT)
        return _told(route, tried, failed) if failed else note

    async def _read(self, pattern: str) -> tuple[list[StoredMessage], str]:
        """The newest events on a pattern, as many as come in time; and why there may be more."""
        reading = asyncio.create_task(self._collect(pattern), name="stream-trial")
        self._reads.add(reading)
        reading.add_done_callback(self._reads.discard)
        await asyncio.wait({reading}, timeout=READ_SECONDS)
        if not reading.done():
            reading.cancel()  # and not waited for: what does not answer may not end soon
            return [], f"not tried on events of the stream: NATS did not answer within {READ_SECONDS:g} s"
        try:
            return reading.result(), ""
        except OpenClawNatsError as error:
            return [], f"not tried on events of the stream: {error}"

    async def _collect(self, pattern: str) -> list[StoredMessage]:
        found: list[StoredMessage] = []
        async for message in self._newest(pattern, EVENTS):
            found.append(message)
            while len(found) > 1 and sum(len(one.body) for one in found) > MAX_BYTES:
                del found[0]
        return found

    async def _judge_all(
        self, route: Route, messages: list[StoredMessage]
    ) -> tuple[int, list[tuple[StoredMessage, str]]]:
        """How many were tried, and those on which it failed, with why."""
        tried, failed = 0, []
        until = time.monotonic() + JUDGE_SECONDS
        for message in reversed(messages):
            decoded, reason = decode_message(message)
            if reason:
                continue
            left = until - time.monotonic()
            try:
                async with asyncio.timeout(max(0.0, left)):
                    await self._judge.judge(route, decoded)
            except TimeoutError:
                break
            except Poison as error:
                failed.append((message, str(error)))
            except OpenClawNatsError:
                break  # no process can be started now: that says nothing about the route
            tried += 1
        return tried, list(reversed(failed))


def _told(route: Route, tried: int, failed: list[tuple[StoredMessage, str]]) -> str:
    what = " and ".join((["when"] if route.conditions else []) + (["flow.key"] if route.key is not None else []))
    on = _each(tried) if len(failed) == tried else f"{len(failed)} of the {tried} newest events"
    return f"{what} fails on {on} of its pattern, such as {_shown(failed[-1])}; such events become dead letters"


def _each(tried: int) -> str:
    return f"each of the {tried} newest events" if tried > 1 else "the newest event"


def _shown(one: tuple[StoredMessage, str]) -> str:
    message, reason = one
    return f"event {message.sequence} ({message.subject[:120]}): {reason[:_MOST_SHOWN]}"
