"""Following the stream for the rules: what an event does and how far the stream was read is one commit.

A deadline that has fired only says that it is time to look. An absence is noted when no spool can still hold the event
(watermark.py) and everything that the stream has of it was read.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from openclaw_nats.backoff import wait_after
from openclaw_nats.errors import Poison, Unavailable, Unsupported
from openclaw_nats.events.decoding import decode_message
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.expectations import episodes
from openclaw_nats.expectations.book import ExpectationBook
from openclaw_nats.expectations.deadlines import DUE, Deadlines
from openclaw_nats.expectations.episodes import Fault, Seen, Step
from openclaw_nats.expectations.notices import Notices
from openclaw_nats.expectations.rule import Rule
from openclaw_nats.expectations.times import LATE_SECONDS, Times
from openclaw_nats.expectations.watchdog import Watchdog
from openclaw_nats.expectations.watermark import Watermark
from openclaw_nats.inbound.forgeries import forgery
from openclaw_nats.inbound.judging import Judge
from openclaw_nats.inbound.routing import reduce_patterns
from openclaw_nats.ports import Followed, Gate, Standing
from openclaw_nats.storage import expectations as rows
from openclaw_nats.storage import inbox
from openclaw_nats.storage.database import Connection, Database
from openclaw_nats.storage.expectations import EpisodeRow

log = structlog.get_logger(__name__)

_POSITION = "expectations position"
_MOST = 1000
_MOST_ENDS = 20_000
_PAUSE = 1.0
_LOOK_SECONDS = 1.0
_CLEAN_SECONDS = 3600.0


class _Place(msgspec.Struct):
    """Up to which sequence of which stream everything is noted."""

    stream: str
    handled: int


class ExpectationWatch:
    """One Gateway's rules at work."""

    def __init__(
        self,
        *,
        database: Database,
        book: ExpectationBook,
        stream: Followed,
        standing: Callable[[], Awaitable[Standing]],
        deadlines: Deadlines,
        notices: Notices,
        watermark: Watermark,
        judge: Judge,
        times: Times,
        gate: Gate,
        watchdog: Watchdog,
    ) -> None:
        self._database = database
        self._book = book
        self._stream = stream
        self._standing = standing
        self._deadlines = deadlines
        self._notices = notices
        self._watermark = watermark
        self._judge = judge
        self._times = times
        self._gate = gate
        self._watchdog = watchdog
        self._place = _Place("", 0)
        self._looked = self._cleaned = 0.0
        self._seen_unknown = 0
        self._ends: dict[int, int] = {}  # up to where the stream has to be read, by episode
        self.last_error = ""

    async def run(self) -> None:
        """Follow until cancelled."""
        failures = 0
        while True:
            if not self._gate.allowed:
                self.last_error = self._gate.problem
                await self._gate.wait()
            try:
                await self._follow()
                failures = 0
            except Unavailable as error:
                self.last_error = str(error)
                await asyncio.sleep(wait_after(failures, 0.1, _PAUSE))
                failures += 1

    async def _follow(self) -> None:
        """Until the rules change, or this sidecar is not the one of its name any more."""
        self._book.changed.clear()
        rules = [one for one in self._book.rules.values() if not one.document.paused]
        if not rules and not self._watchdog.enabled:
            await self._notices.publish()
            self.last_error = ""
            await self._book.changed.wait()
            return
        await self._find_place()
        own = self._watchdog.patterns if self._watchdog.enabled else ()
        patterns = reduce_patterns([f"{DUE}>", *(pattern for one in rules for pattern in one.patterns), *own])
        await self._stream.open(patterns, self._place.handled)
        try:
            while self._gate.allowed and not self._book.changed.is_set():
                if batch := await self._stream.next():
                    await self.take(batch)
                self.last_error = ""
                if self._times.steady() - self._looked >= _LOOK_SECONDS:
                    self._looked = self._times.steady()
                    await self.look()
        finally:
            await self._stream.close()

    async def _find_place(self) -> None:
        standing = await self._standing()
        text = await self._database.read(lambda db: inbox.fact(db, _POSITION))
        place = msgspec.json.decode(text, type=_Place) if text else None
        unread = place is None or place.stream != standing.stream or place.handled + 1 < standing.first
        if unread or not self._watchdog.enabled:
            await self._database.write(self._watchdog.begin_again)
        if place is not None and place.stream == standing.stream:
            self._place = place
            return
        # Of a stream that was put back, what is new in it; at the first start, what no rule has seen.
        first = min((one.after_sequence for one in self._book.rules.values()), default=standing.last)
        self._place = _Place(standing.stream, first if place is None else standing.kept)

        def job(db: Connection) -> None:
            if place is not None:
                rows.begin_again(db)
            self._keep(db)

        await self._database.write(job)
        await self._book.load()
        self._book.changed.clear()

    def _keep(self, db: Connection) -> None:
        inbox.set_fact(db, _POSITION, msgspec.json.encode(self._place).decode())

    async def take(self, batch: list[StoredMessage]) -> None:
        """Note what messages do, and that they were read, in one commit."""
        steps: list[Step] = []
        for message in batch:
            steps += await self._steps(message)
        runs = self._watchdog.read(batch)
        self._place = _Place(self._place.stream, batch[-1].sequence)

        def job(db: Connection) -> list[int]:
            there = {one.id for one in rows.rules(db)}
            self._keep(db)
            self._watchdog.take(db, runs)
            return [number for one in steps if _is_there(one, there) for number in episodes.take(db, one, self._times)]

        try:
            over = await self._database.write(job)
        except Unavailable:
            await self._reload_place()
            raise
        await self._arm()
        try:
            await self._deadlines.cancel(over)
        except Unsupported:
            return

    async def _reload_place(self) -> None:
        """What was not committed is read once more."""
        text = await self._database.read(lambda db: inbox.fact(db, _POSITION))
        if text:
            self._place = msgspec.json.decode(text, type=_Place)

    async def _steps(self, message: StoredMessage) -> list[Step]:
        fired = self._deadlines.fired(message)
        if fired is not None:
            return [fired]
        wanted = [
            (rule, role)
            for rule, role in self._book.index.of(message.subject)
            if message.sequence > rule.after_sequence
        ]
        if not wanted or forgery(message):
            return []
        decoded, broken = decode_message(message)
        gateway = (
            str(decoded.owner.get("gatewayid", "")) if decoded.believed and decoded.origin.name == "gateway" else ""
        )
        found: list[Step] = []
        for rule, role in wanted:
            try:
                if broken:
                    raise Poison(broken)
                key = await self._judge.judge(rule, decoded)
            except Poison as error:
                if rule.looks_inside:
                    found.append(Fault(rule, str(error)))
                    continue
                key = ""
            found.append(Seen(rule, role, key or "", message.time / 1e9, gateway))
        return found

    async def look(self) -> None:
        """Arm what is not armed, see what is due, decide what can be decided, publish what there is to say."""
        if self._book.rules:
            await self._look_at_rules()
        await self._watchdog.look(self._database, self._stream.last, self._place.handled)
        await self._notices.publish()

    async def _look_at_rules(self) -> None:
        await self._arm()
        late = await self._database.read(lambda db: rows.in_state(db, "open", _MOST))
        over = [one for one in late if self._left(one) < -LATE_SECONDS]
        if over:
            await self._database.write(lambda db: [rows.set_state(db, one.id, "unknown") for one in over])
        await self._watermark.look()
        await self._look_at_unknown()
        if self._times.steady() - self._cleaned > _CLEAN_SECONDS:
            self._cleaned = self._times.steady()
            horizon = self._times.now() - episodes.KEEP_MISSED_SECONDS
            await self._database.write(lambda db: rows.forget_missed(db, horizon))

    async def _look_at_unknown(self) -> None:
        """So many at a time, in turn: those of a Gateway that is away must not keep others from being seen."""
        unknown = await self._database.read(lambda db: rows.unknown_after(db, self._seen_unknown, _MOST))
        self._seen_unknown = unknown[-1].id if len(unknown) == _MOST else 0
        ready: dict[str, list[tuple[Rule, EpisodeRow]]] = defaultdict(list)
        for one in unknown:
            rule = self._book.rules.get(one.expectation)
            if rule is not None and not self.behind(rule, one):
                ready[rule.document.by].append((rule, one))
        sure = []
        if len(self._ends) > _MOST_ENDS:  # of rules that were removed meanwhile
            self._ends.clear()
        for pattern, those in ready.items():
            new = [one.id for _, one in those if one.id not in self._ends]
            if new:
                self._ends |= dict.fromkeys(new, await self._stream.last(pattern))
            # What lies behind the place may be it, and is still to be read.
            sure += [(rule, one) for rule, one in those if self._ends[one.id] <= self._place.handled]
        if sure:
            await self._decide(sure)
        for _, one in sure:
            self._ends.pop(one.id)

    async def _decide(self, those: list[tuple[Rule, EpisodeRow]]) -> None:
        now = self._times.now()
        await self._database.write(lambda db: [episodes.decide(db, rule, one, now) for rule, one in those])

    def behind(self, rule: Rule, one: EpisodeRow) -> list[str]:
        """The Gateways because of which it is not known yet."""
        return self._watermark.behind(self._left(one), one.gateway) if rule.spools else []

    def _left(self, one: EpisodeRow) -> float:
        return self._times.left(one.due, one.boot, one.due_steady)

    async def _arm(self) -> None:
        found = await self._database.read(lambda db: rows.unarmed(db, _MOST))
        known = [(self._book.rules[one.expectation].name, one) for one in found if one.expectation in self._book.rules]
        if not known:
            return
        try:
            await self._deadlines.arm(known)
        except Unsupported:
            return  # an older nats-server: the deadlines are looked at here
        await self._database.write(lambda db: rows.set_armed(db, [one.id for _, one in known]))


def _is_there(step: Step, rules: set[int]) -> bool:
    return not isinstance(step, Seen | Fault) or step.rule.id in rules
