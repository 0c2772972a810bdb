"""What happens now: the stream is read once, as long as somebody looks, and each browser gets it in small groups."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import msgspec
import structlog

from openclaw_nats.contract.views import LiveEvent, LiveState
from openclaw_nats.errors import Unavailable
from openclaw_nats.events.decoding import document_of
from openclaw_nats.events.envelope import format_time
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.subjects import EVERYTHING
from openclaw_nats.ports import EventLog

log = structlog.get_logger(__name__)

KEPT = 500
MAX_WAITING = 2000  # as many as the page keeps
WHOLE_BYTES = 16 * 1024
GROUP_SECONDS = 0.1
STATE_SECONDS = 2.0


@dataclass(eq=False)
class Listener:
    """One browser's part: what it has not got yet, and how many events it missed since it is too slow."""

    waiting: deque[LiveEvent] = field(default_factory=deque)
    skipped: int = 0
    state: LiveState | None = None
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def give(self, event: LiveEvent) -> None:
        """One more event; the oldest goes when too many wait."""
        if len(self.waiting) >= MAX_WAITING:
            self.waiting.popleft()
            self.skipped += 1
        self.waiting.append(event)
        self.woken.set()

    def take(self) -> tuple[list[LiveEvent], int, LiveState | None]:
        """What waits: events, how many were skipped, the state if there is a new one."""
        found = list(self.waiting), self.skipped, self.state
        self.waiting.clear()
        self.skipped, self.state = 0, None
        self.woken.clear()
        return found


class Live:
    """Reads the stream for all listeners. `state` says how everything is; it is asked while somebody listens."""

    def __init__(self, log: EventLog, state: Callable[[], Awaitable[LiveState]]) -> None:
        self._log = log
        self._state = state
        self._listeners: set[Listener] = set()
        self._wanted = asyncio.Event()
        self._kept: deque[LiveEvent] = deque(maxlen=KEPT)
        self._last = 0

    async def run(self) -> None:
        """Read as long as somebody listens; for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read_events(), name="live-events")
            group.create_task(self._tell_state(), name="live-state")

    async def recent(self, after: int, limit: int = KEPT) -> list[LiveEvent]:
        """The newest events after a sequence, oldest first."""
        if self._listeners and self._kept and (after >= self._kept[0].sequence or len(self._kept) >= limit):
            return [one for one in self._kept if one.sequence > after][-limit:]
        found = self._log.read(subject=EVERYTHING, since=None, limit=limit, follow=False, after=after)
        return [live_event(message) async for message in found if message is not None]

    @contextlib.contextmanager
    def listen(self) -> Iterator[Listener]:
        """Get what comes from now on."""
        one = Listener()
        self._listeners.add(one)
        self._wanted.set()
        try:
            yield one
        finally:
            self._listeners.discard(one)
            if not self._listeners:
                self._wanted.clear()

    async def _read_events(self) -> None:
        while True:
            await self._wanted.wait()
            try:
                await self._follow()
            except Unavailable:
                await asyncio.sleep(1.0)  # the state says what is wrong

    async def _follow(self) -> None:
        async for message in await self._from_here():
            if not self._wanted.is_set():
                return
            if message is None or message.sequence <= self._last:
                continue
            self._last = message.sequence
            event = live_event(message)
            self._kept.append(event)
            for listener in self._listeners:
                listener.give(event)

    async def _from_here(self) -> AsyncIterator[StoredMessage | None]:
        """The stream from what was read last; after a while without listeners, or in a new stream, from its end."""
        newest = 0
        async for message in self._log.read(subject=EVERYTHING, since=None, limit=1, follow=False):
            newest = message.sequence if message is not None else newest
        if self._last > newest or newest - self._last > KEPT:
            self._kept.clear()
            self._last = max(0, newest - KEPT)
        return self._log.read(subject=EVERYTHING, since=None, limit=None, follow=True, after=self._last)

    async def _tell_state(self) -> None:
        while True:
            await self._wanted.wait()
            state = await self._state()
            for listener in self._listeners:
                listener.state = state
                listener.woken.set()
            await asyncio.sleep(STATE_SECONDS)


def live_event(message: StoredMessage) -> LiveEvent:
    """A stored message as the dashboard lists it; one that a mistake of ours can't show has its subject alone."""
    try:
        return _live_event(message)
    except Exception as error:
        log.error("live.bug", sequence=message.sequence, error=repr(error), exc_info=True)
        document = msgspec.json.encode({"subject": ascii(message.subject)[1:-1]})
        return _shown(message, document, whole=False)


def _live_event(message: StoredMessage) -> LiveEvent:
    document = document_of(message)
    whole = len(document) <= WHOLE_BYTES
    if not whole:
        fields = msgspec.json.decode(document, type=dict[str, msgspec.Raw])
        fields.pop("data", None)
        fields.pop("data_base64", None)
        document = msgspec.json.encode(fields)
        if len(document) > WHOLE_BYTES:  # a foreign event with huge attributes
            document = msgspec.json.encode({"subject": message.subject})
    return _shown(message, document, whole=whole)


def _shown(message: StoredMessage, document: bytes, *, whole: bool) -> LiveEvent:
    at = format_time(message.time // 1_000_000)
    said = message.origin
    return LiveEvent(message.sequence, at, len(message.body), whole, said.name, said.tainted, msgspec.Raw(document))
