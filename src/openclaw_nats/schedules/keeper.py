"""Keeps cron jobs armed: the next ticks of each lie in JetStream, which fires them with or without this process.

A job is looked at when it was changed, after each of its ticks, at the start, and when somebody may have meddled.
Looking at it twice, or from two sidecars at once, does no harm: for one tick the stream takes one message (names.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import heapq
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from itertools import pairwise

import msgspec
import structlog

from openclaw_nats.backoff import wait_after
from openclaw_nats.clock_steps import ClockSteps
from openclaw_nats.errors import Conflict, InvalidInput, InvalidSchedule, MessageRefused, Unavailable, Unsupported
from openclaw_nats.events import envelope
from openclaw_nats.events.envelope import Event
from openclaw_nats.events.lateness import too_late
from openclaw_nats.events.origin import Origin
from openclaw_nats.ports import Arm, Gate, JobWatch, NoJobWatch, OpenGate, Record, ScheduleLog
from openclaw_nats.schedules import names
from openclaw_nats.schedules.cron import next_runs
from openclaw_nats.schedules.document import Job, StoredJob, compile_job, job_event

log = structlog.get_logger(__name__)

AHEAD = 10
FREQUENT_SECONDS = 60.0
REFRESH_SECONDS = 15.0
CLEAN_SECONDS = 3600.0
KEEP_FIRED = 100
KEEP_OTHERS = 50
KEEP_TIMERS = 1000
_AFTER_TICK = 1.0
_SHORTEST_CHECK = 4.0
_UNUSABLE_SECONDS = 60.0
_SURELY_AHEAD = 86400.0  # other machines' clocks may be minutes off; a day is a clock that was wrong

_TICK = re.compile(r"[0-9]{1,12}")
_decoder = msgspec.json.Decoder(StoredJob)


class Keeper:
    """One per sidecar; `run` must be running for jobs to go on beyond the ticks that are armed already."""

    def __init__(
        self,
        schedule_log: ScheduleLog,
        gateway_id: str,
        prepare: Callable[[Event], Awaitable[bytes]],
        seal: Callable[[str, bytes, Origin], Mapping[str, str]] = lambda subject, body, origin: {},
        clock: Callable[[], float] = time.time,
        gate: Gate | None = None,
        watch: JobWatch | None = None,
    ) -> None:
        self._gate = gate or OpenGate()
        self._watch = watch or NoJobWatch()
        self._mine: dict[str, str] = {}  # names by key
        self._log = schedule_log
        self._gateway_id = gateway_id
        self._prepare = prepare
        self._seal = seal
        self._clock = clock
        self._steps = ClockSteps(clock)
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._revisions: dict[str, int] = {}
        self._settled: dict[str, int] = {}
        self._checks: dict[str, float] = {}
        self._queue: list[tuple[float, str]] = []
        self._gone: set[str] = set()
        self._refreshed = self._cleaned = 0.0
        self._failures = 0
        self._unusable: dict[str, str] = {}
        self._without_future: set[str] = set()  # jobs of which nothing has fired that is yet to come
        self.last_error = ""

    @property
    def problem(self) -> str:
        """Why jobs are not kept armed; empty when they are."""
        unusable = next((f"cron job {key} can't be kept armed: {why}" for key, why in self._unusable.items()), "")
        return self._gate.problem or self.last_error or unusable

    @property
    def jobs(self) -> int:
        """How many jobs this Gateway has."""
        return sum(names.may_be_of(self._gateway_id, key) for key in self._revisions)

    async def owned(self, job: Job) -> Job:
        """A job with the Gateway that it belongs to. One of 0.1.0 does not say: the events that it made do."""
        if job.gateway:
            return job
        for pattern in (names.all_armed(job.key), *(names.all_fired(kind, job.key) for kind in ("cron", "manual"))):
            record = await self._log.last(pattern)
            with contextlib.suppress(InvalidInput):
                if record is not None and (gateway := envelope.decode(record.body).gatewayid):
                    return dataclasses.replace(job, gateway=gateway)
        return dataclasses.replace(job, gateway=self._gateway_id)

    async def run(self) -> None:
        """Keep all jobs armed until cancelled."""
        while True:
            await self._pause(await self.step())

    async def step(self) -> float:
        """Look at what is due once; in how many seconds to look again, at the latest."""
        if not self._gate.allowed:
            self.last_error = ""  # `problem` asks the gate
            await self._gate.wait()
        try:
            now = self._clock()
            if self._steps.put_back():
                self._clock_put_back(now)
            if not 0 <= now - self._refreshed < REFRESH_SECONDS:
                await self._refresh()
                self._refreshed = now
            if not 0 <= now - self._cleaned < CLEAN_SECONDS:
                await self._clean()
                self._cleaned = now
            await self._look_at_due()
        except (Unavailable, Unsupported) as error:
            self.last_error, self._refreshed = str(error), 0.0
            self._failures += 1
            return 10.0 if isinstance(error, Unsupported) else wait_after(self._failures - 1, 0.2, 5.0)
        self.last_error, self._failures = "", 0
        due = self._queue[0][0] if self._queue else now + REFRESH_SECONDS
        return min(REFRESH_SECONDS, max(0.05, due - self._clock()))

    def _clock_put_back(self, now: float) -> None:
        """Look at every job again: its next check, and what it was thought to have fired, are of the wrong time."""
        self._settled = {key: tick for key, tick in self._settled.items() if tick <= now}
        self._without_future.clear()
        for key in list(self._checks):
            self._check_at(key, 0.0)

    async def _forget_future(self, key: str, now: float) -> None:
        """Ticks that fired while the clock was ahead fire once more when their time really comes."""
        if key in self._without_future:
            return
        for pattern in (names.all_fired("cron", key), names.all_skipped(key)):
            for subject in await self._log.subjects(pattern):
                tick = subject.split(".")[5]
                if tick.isdecimal() and int(tick) > now + _SURELY_AHEAD:
                    await self._log.purge(subject)
        self._without_future.add(key)

    async def settle(self, key: str) -> None:
        """Look at one job now: make up for what was missed, arm what comes."""
        async with self._lock:
            await self._settle(key)
        self._wake.set()

    async def _pause(self, seconds: float) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _look_at_due(self) -> None:
        while self._queue and self._queue[0][0] <= self._clock():
            at, key = heapq.heappop(self._queue)
            if self._checks.get(key) != at:
                continue
            try:
                async with self._lock:
                    await self._settle(key)
                self._unusable.pop(key, None)
            except (Unavailable, Unsupported) as error:
                if not isinstance(error, MessageRefused):
                    heapq.heappush(self._queue, (at, key))
                    raise
                self._unusable[key] = str(error)
                log.error("cron.unusable", job=key, error=str(error))
                self._check_at(key, self._clock() + _UNUSABLE_SECONDS)
            except Exception as error:  # one job that can't be kept armed does not cost the others
                self._unusable[key] = str(error)
                log.error("cron.unusable", job=key, error=str(error), exc_info=not isinstance(error, InvalidInput))
                self._check_at(key, self._clock() + _UNUSABLE_SECONDS)

    async def _refresh(self) -> None:
        """Find what other sidecars have changed, and what somebody has removed."""
        # What is armed first: a job is stored before its ticks, so one that is made meanwhile is not taken for gone.
        armed = {subject.split(".")[4] for pattern in names.TICKS for subject in await self._log.subjects(pattern)}
        records = {names.key_of_job(record.subject): record for record in await self._log.read(names.JOBS)}
        for key in armed - records.keys():
            await self._log.purge(names.all_armed(key))
        for key in self._revisions.keys() - records.keys():
            self._forget(key)
        for key, record in records.items():
            changed = self._revisions.get(key) != record.sequence
            self._revisions[key] = record.sequence
            if changed or (key not in armed and key in self._checks):
                self._check_at(key, 0.0)
        await self._watch.look(self._mine, records.keys())

    async def removing(self, key: str) -> None:
        """The operator or an agent removes a job: it is not missing afterwards."""
        self._mine.pop(key, None)
        await self._watch.removing(key)

    async def _settle(self, key: str) -> None:
        record = await self._log.last(names.job_subject(key))
        if record is None:
            self._forget(key)
            await self._log.purge(names.all_armed(key))
            return
        try:
            job = await self.owned(job_of(record))
        except InvalidInput as error:  # another version's, which keeps it armed: its ticks are left alone
            self._revisions[key] = record.sequence
            self._checks.pop(key, None)
            log.error("cron.unreadable", subject=record.subject, error=str(error))
            return
        self._revisions[key] = job.revision
        if job.gateway != self._gateway_id and not job.ours:  # its own sidecar would not believe our seal
            self._checks.pop(key, None)
            return
        if job.gateway == self._gateway_id:
            self._mine[key] = job.name
        armed = await self._armed(job)
        if not job.enabled:
            await self._log.purge(names.all_armed(key))
            self._checks.pop(key, None)
            return
        now = self._clock()
        await self._forget_future(key, now)
        await self._make_up(job, armed, now)
        coming = next_runs(job.cron, now, AHEAD + 1)
        await self._arm(job, coming, armed)
        self._check_at(key, max(coming[0] + _AFTER_TICK, now + _SHORTEST_CHECK))

    async def _armed(self, job: Job) -> set[int]:
        """The ticks that are armed for the job as it is now; those of an earlier form of it are taken away."""
        found = set()
        for subject in await self._log.subjects(names.all_armed(job.key)):
            tick, *rest = subject.split(".")[5:]
            if rest == [str(job.revision)] and _TICK.fullmatch(tick):
                found.add(int(tick))
            else:  # or somebody else's, which is no tick
                await self._log.purge(subject)
        return found

    async def _make_up(self, job: Job, armed: set[int], now: float) -> None:
        """Decide about the newest tick that should have been and about which the stream knows nothing."""
        tick = job.cron.latest(max(job.stored.since, self._settled.get(job.key, 0)), now)
        if tick is None:
            return
        if tick not in armed and await self._log.last(names.one_tick(job.key, tick)) is None:
            newest = await self._log.last(names.all_fired("cron", job.key))
            if newest is not None and (newest.time > now + _SURELY_AHEAD or too_late(newest.headers, newest.time)):
                newest = None
            verdict = job.missed.verdict(tick, now, newest.time if newest is not None else None)
            body = await self._body(job, tick, now) if verdict == "run" else _note(job, tick, now)
            where = names.fired("cron", job.key, tick, job.subject) if verdict == "run" else None
            try:
                alone = names.one_tick(job.key, tick)
                headers = self._seal(job.subject, body, job.said)
                await self._log.write(where or names.skipped(job.key, tick), body, alone=alone, headers=headers)
                log.info("cron.missed", job=job.name, verdict=verdict, late_seconds=round(now - tick))
            except Conflict:
                log.debug("cron.settled_elsewhere", job=job.name)
        if tick not in armed:
            self._settled[job.key] = tick

    async def _arm(self, job: Job, coming: list[int], armed: set[int]) -> None:
        """Arm the next tick; of a job that comes more often than once a minute, the next ten.

        What is armed fires after an outage, however long it was: one late run is what most jobs want, ten are not.
        """
        frequent = len(coming) > 1 and coming[1] - coming[0] < FREQUENT_SECONDS
        arms = [
            Arm(
                subject=names.armed(job.key, tick, job.revision),
                target=names.fired("cron", job.key, tick, job.subject),
                at=float(tick),
                body=(body := await self._body(job, tick, tick)),
                headers=self._seal(job.subject, body, job.said),
                alone=names.one_tick(job.key, tick),
                keep=job.missed.keep(tick, following if frequent else None),
            )
            for tick, following in pairwise(coming[: AHEAD + 1] if frequent else [coming[0], 0])
            if tick not in armed
        ]
        if arms:
            await self._log.arm(arms)

    async def _body(self, job: Job, tick: float, fired: float) -> bytes:
        return await self._prepare(job_event(job, tick, fired))

    async def _clean(self) -> None:
        """Histories do not grow for ever; those of jobs that are gone go, when surely everybody has read them."""
        for kind in ("timer", names.EXPECT):
            await self._log.purge(names.all_fired(kind, "*"), keep=KEEP_TIMERS)
        for key in list(self._revisions):
            await self._log.purge(names.all_fired("cron", key), keep=KEEP_FIRED)
            await self._log.purge(names.all_fired("manual", key), keep=KEEP_OTHERS)
            await self._log.purge(names.all_skipped(key), keep=KEEP_OTHERS)
        known: set[str] = set()
        for pattern in (names.all_fired("cron", "*"), names.all_fired("manual", "*"), names.all_skipped("*")):
            known |= {subject.split(".")[4] for subject in await self._log.subjects(pattern)}
        gone = known - self._revisions.keys()
        for key in gone & self._gone:
            for pattern in (names.all_fired("cron", key), names.all_fired("manual", key), names.all_skipped(key)):
                await self._log.purge(pattern)
        self._gone = gone

    def _check_at(self, key: str, at: float) -> None:
        self._checks[key] = at
        heapq.heappush(self._queue, (at, key))

    def _forget(self, key: str) -> None:
        self._without_future.discard(key)
        for table in (self._revisions, self._settled, self._checks, self._unusable, self._mine):
            table.pop(key, None)


def job_of(record: Record) -> Job:
    """A job from its message; raise InvalidSchedule or another InvalidInput when this version can't read it."""
    key = names.key_of_job(record.subject)
    try:
        job = compile_job(_decoder.decode(record.body), record.sequence, key)
        names.check_place(job.name, key)
        return dataclasses.replace(job, ours=record.ours, vouched=record.vouched)
    except InvalidInput:
        raise
    except Exception as error:  # whatever another version or program wrote there
        raise InvalidSchedule(f"{record.subject}: {error}") from None


def _note(job: Job, tick: int, now: float) -> bytes:
    return msgspec.json.encode({"jobName": job.name, "tick": tick, "at": now, "missed": job.missed.text})
