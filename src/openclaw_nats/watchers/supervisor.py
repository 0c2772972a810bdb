"""Runs the watchers: one task for each, started again with growing waits when it fails, its state kept for health."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
from msgspec import UNSET
from prometheus_client import CollectorRegistry, Gauge

from openclaw_nats.backoff import wait_after
from openclaw_nats.contract.sources import Watching
from openclaw_nats.errors import InvalidInput, OpenClawNatsError, WatchFailed, words_for
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.sources import watched
from openclaw_nats.sources.book import SourceBook
from openclaw_nats.sources.stored import StoredSource
from openclaw_nats.url_secrets import masked_in
from openclaw_nats.watchers.kinds import kind_of
from openclaw_nats.watchers.outbox import Outbox
from openclaw_nats.watchers.text import shortened
from openclaw_nats.watchers.watch import Watch

log = structlog.get_logger(__name__)

FIRST_WAIT, LONGEST_WAIT = 1.0, 300.0
_STOP_SECONDS = 10.0
_LOOK_SECONDS = 25.0  # the command line waits for 30
_LONGEST_REASON = 300
_MOST_NOTES = 5


class WatchMeters:
    """How the watchers do, for Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.up = Gauge(
            "openclaw_nats_watcher_up",
            "1 for a watcher that sees what it watches, 0 for one that fails",
            ["source"],
            registry=registry,
        )


@dataclass
class _Running:
    source: StoredSource
    task: asyncio.Task[None]


@dataclass
class State:
    """How a watcher does; times in Unix seconds."""

    failures: int = 0
    reason: str = ""
    since: float = 0.0
    next_try: float = 0.0
    waits: str = ""  # why its events can't be stored
    ever_well: bool = False
    note: str = ""  # what of it is not seen, though the rest is


class Watchers:
    """All of them, as the book says."""

    def __init__(
        self,
        book: SourceBook,
        outbox: Outbox,
        home: Path,
        timezone: str,
        meters: WatchMeters,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._book = book
        self._outbox = outbox
        self._home = home
        self._timezone = timezone
        self._meters = meters
        self._clock = clock
        self._lock = asyncio.Lock()
        self._changed = asyncio.Event()
        self._running: dict[str, _Running] = {}
        self._states: dict[str, State] = {}
        outbox.waits = self._waits
        book.on_change = self._changed.set

    async def run(self) -> None:
        """Run them until cancelled."""
        if not self._book.problem:  # a file that can't be read says nothing about who is gone
            await self._outbox.forget_others([one.name for one in self._book.every()])
        try:
            while True:
                self._changed.clear()
                async with self._lock:
                    await self._adjust()
                await self._changed.wait()
        finally:
            await self._stop(list(self._running))

    async def forget(self, name: str) -> None:
        """The source is gone, with what it remembered."""
        async with self._lock:
            await self._stop([name])
            self._states.pop(name, None)
            with contextlib.suppress(KeyError):
                self._meters.up.remove(name)
            await self._outbox.forget(name)

    async def look(self, source: StoredSource) -> str:
        """What a watcher sees now, in words; nothing of it is stored. Raises InvalidInput with why it sees nothing."""
        if why := watched.missing(source.type):
            raise InvalidInput(why)
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                return await kind_of(source.type).look(self._watch(source))
        except TimeoutError:
            raise InvalidInput(f"it could not be seen within {_LOOK_SECONDS:g} s") from None
        except WatchFailed as error:
            raise InvalidInput(masked_in(str(error)), hint=error.hint) from None

    def state(self, source: StoredSource) -> Watching:
        """How a watcher does."""
        if source.paused:
            return Watching(state="paused")
        state = self._states.get(source.name, State())
        if state.reason or state.waits:
            return Watching(
                state="failing",
                reason=state.reason or state.waits,
                since=format_seconds(state.since) if state.since else UNSET,
                next_try=format_seconds(state.next_try) if state.next_try and not state.waits else UNSET,
            )
        return Watching(state="running" if state.ever_well else "starting", reason=state.note)

    def notes(self) -> tuple[str, ...]:
        """What health has to say: which watchers fail, why, since when, and when they are tried again."""
        found = []
        for one in self._book.every():
            if not watched.is_watched(one.type) or not (state := self.state(one)).reason:
                continue
            if state.state != "failing":
                found.append(f"the watcher {one.name} ({one.type}) does not see everything: {state.reason}")
                continue
            since = f" since {state.since}" if state.since is not UNSET else ""
            then = f"; next try {state.next_try}" if state.next_try is not UNSET else ""
            found.append(f"the watcher {one.name} ({one.type}) has been failing{since}: {state.reason}{then}")
        more = len(found) - _MOST_NOTES
        return (*found[:_MOST_NOTES], *([f"{more} more watchers have a problem"] if more > 0 else []))

    async def _adjust(self) -> None:
        wanted = {one.name: one for one in self._book.every() if watched.is_watched(one.type) and not one.paused}
        await self._stop([name for name, one in self._running.items() if wanted.get(name) != one.source])
        for name, source in wanted.items():
            if name not in self._running:
                self._states[name] = State()
                task = asyncio.create_task(self._keep_running(source), name=f"watcher {name}")
                self._running[name] = _Running(source, task)

    async def _stop(self, names: list[str]) -> None:
        tasks = [one.task for name in names if (one := self._running.pop(name, None)) is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_STOP_SECONDS)

    async def _keep_running(self, source: StoredSource) -> None:
        """Run one until cancelled. Whatever it raises is its state, and it is started again."""
        while True:
            asked = 0.0
            try:
                if why := watched.missing(source.type):
                    raise WatchFailed(why)
                await self._outbox.send(source)
                await kind_of(source.type).run(self._watch(source))
                reason = "it ended"
            except WatchFailed as error:
                reason, asked = str(error), error.retry_after
                if error.hint:
                    reason = f"{reason} ({error.hint})"
            except OpenClawNatsError as error:
                reason = str(error)
            except Exception as error:
                log.exception("watch.bug", source=source.name)
                reason = f"a fault in openclaw-nats: {words_for(error)}"
            await asyncio.sleep(self._failed(source.name, reason, asked))

    def _failed(self, name: str, reason: str, asked: float) -> float:
        """Note a failure; the seconds to wait."""
        state = self._states.setdefault(name, State())
        wait = max(wait_after(state.failures, FIRST_WAIT, LONGEST_WAIT), asked)
        reason = shortened(" ".join(masked_in(reason).split()), _LONGEST_REASON)
        if reason != state.reason:
            log.warning("watch.failing", source=name, reason=reason)
        now = self._clock()
        state.failures += 1
        state.reason, state.since, state.next_try = reason, state.since or now, now + wait
        self._meters.up.labels(name).set(0)
        return wait

    def _well(self, name: str, note: str) -> None:
        state = self._states.setdefault(name, State())
        if state.reason or not state.ever_well:
            log.info("watch.running", source=name)
        since = state.since if state.waits else 0.0
        note = shortened(masked_in(note), _LONGEST_REASON)
        self._states[name] = State(waits=state.waits, since=since, ever_well=True, note=note)
        self._meters.up.labels(name).set(1)

    def _waits(self, name: str, reason: str) -> None:
        state = self._states.setdefault(name, State())
        state.waits = shortened(reason, _LONGEST_REASON)
        state.since = (state.since or self._clock()) if reason or state.reason else 0.0

    def _watch(self, source: StoredSource) -> Watch:
        secret = source.secrets[0].secret if source.secrets else ""
        return Watch(
            source, secret, self._home, self._timezone, self._outbox, well=lambda note: self._well(source.name, note)
        )
