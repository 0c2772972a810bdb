"""Rules that are built in: a run that takes longer than usual, a run without an end, a Gateway without events.

All goes by a clock of its own, which moves while the Gateway's plugin reports and this sidecar hears it. So the time of
an outage, a night in which the machine sleeps, or a clock that is set counts for nothing. A run that waits for an
approval begins again, and a new process of the Gateway has ended the runs of the one before.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from openclaw_nats.contract.expectations import WatchdogEpisode, WatchdogRule, WatchdogState
from openclaw_nats.contract.plugin import PluginReport
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.expectations import usual
from openclaw_nats.expectations.rule import OWN
from openclaw_nats.expectations.run_events import BEGINS, ENDS, RunEvent, run_event
from openclaw_nats.expectations.times import Times
from openclaw_nats.expectations.usual import ABOUT, LONG, SILENT, UNENDED
from openclaw_nats.expectations.watermark import ADOPTING_SECONDS, ON_THE_WAY_SECONDS
from openclaw_nats.storage import expectations as notices
from openclaw_nats.storage import inbox
from openclaw_nats.storage import watchdog as rows
from openclaw_nats.storage.database import Connection, Database
from openclaw_nats.storage.watchdog import RunRow

UNREPORTED_SECONDS = 60.0  # reports come every ten seconds; what lies further apart was not watched
FORGET_SECONDS = 7 * 86400.0
_STEP_SECONDS = 20.0  # so often, at most, the clock is written down
_MOST_PAUSES = 64
_MOST_SHOWN = 20
_FACT = "watchdog"
_STATES = {LONG: "long", UNENDED: "unended"}


class _State(msgspec.Struct):
    """`clock` is the watchdog's own. Runs are followed that begin after the sequence `floor`; -1: none yet."""

    clock: float = 0.0
    process: str = ""
    floor: int = -1
    events: int = 0
    heard: float = 0.0
    silent_since: float = 0.0
    pauses: list[tuple[float, float]] = []  # the longest ones: when, and how long

    @property
    def usual_silence(self) -> float | None:
        return usual.longest_usual_silence(self.events, self.clock, [long for _, long in self.pauses])


class Watchdog:
    """The built-in rules of one Gateway; `enabled` is the setting. `ends_come` says whether the plugin still gets the
    hooks that tell of runs: where they have stopped, which is reported elsewhere, no run is missing an end.
    """

    patterns = (BEGINS, ENDS)

    def __init__(self, gateway_id: str, times: Times, *, enabled: bool = True) -> None:
        self.enabled = enabled
        self.ends_come: Callable[[], bool] = lambda: True
        self._gateway_id = gateway_id
        self._times = times
        self._process = ("", 0.0)  # which reports, and since when
        self._noted = ""  # the process that is written down
        self._reported = -math.inf
        self._spool = 0.0  # how old the oldest is that waits there
        self._watched = 0.0  # since it was last written down
        self._ends: dict[str, int] = {}  # up to where the stream has to be read, by run

    def receive(self, report: PluginReport) -> None:
        """Take a report of the plugin over."""
        now = self._times.steady()
        # What the spool dropped may have been an end: then all that was followed is forgotten, as with a new process.
        process = f"{report.started_at} {report.spool.dropped} {report.spool.rejected}"
        if self._process[0] != process:
            self._process = (process, now)
            self._watched = 0.0
        elif 0 < now - self._reported <= UNREPORTED_SECONDS:
            self._watched += now - self._reported
        self._reported = now
        self._spool = max(0.0, report.spool.oldest_seconds) if report.spool.events else 0.0

    def read(self, messages: Sequence[StoredMessage]) -> list[RunEvent]:
        """What messages say of runs."""
        if not self.enabled:
            return []
        return [one for one in (run_event(message, self._gateway_id) for message in messages) if one is not None]

    def take(self, db: Connection, found: list[RunEvent]) -> None:
        """Do what events do, in the transaction that says that they were read."""
        if not found:
            return
        state = _load(db)
        clock = state.clock + self._watched
        # The clock stands where the last report left it, which may be so much too early.
        latest = clock + UNREPORTED_SECONDS
        for one in found:
            self._hear(db, state, clock)
            known = rows.run(db, one.run)
            if one.ended:
                if known is not None and known.state in _STATES.values():
                    self._tell(db, _rule_of(known), known, "recovered", "it ended")
                if one.seconds is not None and (known is None or known.state != "over"):
                    rows.learn(db, one.agent, one.seconds)
                rows.end(db, one.run, clock)
            elif known is not None:
                rows.active(db, one.run, latest)
            elif 0 <= state.floor < one.sequence:
                rows.follow(db, RunRow(one.run, one.agent, one.session, "open", latest, latest, one.at))
        _save(db, state)

    def _hear(self, db: Connection, state: _State, clock: float) -> None:
        if state.silent_since:
            self._tell_silence(db, state, "recovered", "an event came")
            state.silent_since = 0.0
        pause = clock - state.heard
        if state.events and pause > UNREPORTED_SECONDS:
            oldest = clock - usual.KEPT_PAUSES_SECONDS
            longer = [(at, long) for at, long in state.pauses if long > pause and at > oldest]
            state.pauses = [*longer[-_MOST_PAUSES + 1 :], (clock, pause)]
        state.events += 1
        state.heard = clock

    def begin_again(self, db: Connection) -> None:
        """Events were not read, or are of another stream: what is followed may have ended unseen."""
        state = _load(db)
        if state.process:
            state.process, state.floor = "", -1
            _save(db, state)
        self._noted = ""

    async def look(self, database: Database, last: Callable[[str], Awaitable[int]], handled: int) -> None:
        """Let the clock go on, and decide what can be decided; the stream was read up to `handled`."""
        now = self._times.steady()
        if not self.enabled or not self._process[0] or now - self._reported > UNREPORTED_SECONDS:
            return
        process, watched = self._process[0], self._watched
        if process == self._noted and watched < _STEP_SECONDS and not self._ends:
            return
        self._watched = 0.0
        floor = await database.write(lambda db: self._go_on(db, process, watched))
        self._noted = process
        if now - self._process[1] < ADOPTING_SECONDS:
            return
        late = self._spool + ON_THE_WAY_SECONDS
        if floor < 0:
            if late < now - self._process[1]:  # nothing of a process before is on its way any more
                first = max(await last(BEGINS), await last(ENDS))
                await database.write(lambda db: _set_floor(db, process, first))
            return
        over = [one.run if one else "" for _, one, _ in await database.read(lambda db: self._over(db, late))]
        end = max(await last(BEGINS), await last(ENDS)) if over else 0
        self._ends = {name: self._ends.get(name, end) for name in over}
        ready = {name for name, until in self._ends.items() if until <= handled}
        if ready:
            await database.write(lambda db: self._decide(db, late, ready))
            self._ends = {name: until for name, until in self._ends.items() if name not in ready}

    def _go_on(self, db: Connection, process: str, watched: float) -> int:
        state = _load(db)
        if state.process != process:
            for one in rows.followed(db):
                if one.state != "open":
                    self._tell(db, _rule_of(one), one, "recovered", "it is not followed any more")
            rows.end_all(db, state.clock)
            state.process, state.floor = process, -1
        state.clock += watched
        rows.excuse(db, state.clock + UNREPORTED_SECONDS)
        rows.tidy(db, state.clock - FORGET_SECONDS)
        _save(db, state)
        return state.floor

    def _over(self, db: Connection, late: float) -> list[tuple[str, RunRow | None, float]]:
        """What is over its limit by what is surely in the stream: rule, run (None: silence), for how many seconds."""
        state = _load(db)
        clock = state.clock - late
        found = list(self._runs_over(db, clock)) if self.ends_come() else []
        limit, silent = state.usual_silence, clock - state.heard - UNREPORTED_SECONDS
        if limit is not None and not state.silent_since and silent > limit:
            found.append((SILENT, None, silent))
        return found

    def _runs_over(self, db: Connection, clock: float) -> list[tuple[str, RunRow | None, float]]:
        found: list[tuple[str, RunRow | None, float]] = []
        limits: dict[str, float | None] = {}
        enough = sum(rows.agents(db).values()) >= usual.MIN_RUNS
        for one in rows.followed(db):
            if one.state != "open":
                continue
            if one.agent not in limits:
                limits[one.agent] = usual.longest_usual_run(rows.lengths(db, one.agent))
            limit = limits[one.agent]
            if limit is not None and clock - one.began > limit:
                found.append((LONG, one, clock - one.began))
            elif enough and clock - one.active > usual.UNENDED_SECONDS:
                found.append((UNENDED, one, clock - one.active))
        return found

    def _decide(self, db: Connection, late: float, ready: set[str]) -> None:
        for rule, one, seconds in self._over(db, late):
            if (one.run if one else "") not in ready:
                continue
            if one is None:
                state = _load(db)
                state.silent_since = self._times.now()
                self._tell_silence(db, state, "missed", "no event of a run came", seconds)
                _save(db, state)
                continue
            rows.set_state(db, one.run, _STATES[rule])
            reason = "it has not ended" if rule == LONG else "it has not ended, and called no model"
            self._tell(db, rule, one, "missed", reason, seconds)

    def _tell(self, db: Connection, rule: str, one: RunRow, what: str, reason: str, seconds: float = 0.0) -> None:
        data = {"key": one.run, "agent": one.agent, "since": format_seconds(one.began_at)}
        self._say(db, rule, what, f"{one.run} {one.began_at}", {**data, "reason": reason}, seconds)

    def _tell_silence(self, db: Connection, state: _State, what: str, reason: str, seconds: float = 0.0) -> None:
        data: dict[str, object] = {"key": "", "since": format_seconds(state.silent_since), "reason": reason}
        self._say(db, SILENT, what, f"{state.silent_since}", data, seconds)

    def _say(self, db: Connection, rule: str, what: str, episode: str, data: dict[str, object], seconds: float) -> None:
        said = {"expectation": rule, "about": ABOUT[rule], "gateway": self._gateway_id, **data}
        if seconds:
            said["seconds"] = round(seconds)
        named = hashlib.sha256(msgspec.json.encode([self._gateway_id, rule, episode, what])).hexdigest()[:32]
        event = f"expectation-{what}-{named}"
        notices.add_notice(db, event, f"{OWN}{what}.{rule}", msgspec.json.encode(said), self._times.now())

    def shown(self, db: Connection) -> list[WatchdogRule]:
        """The rules and how they are."""
        if not self.enabled:
            return [WatchdogRule(name, about, "off", 0, []) for name, about in ABOUT.items()]
        state, agents, runs = _load(db), rows.agents(db), rows.followed(db)
        missed = {
            rule: [WatchdogEpisode(one.run, one.agent, format_seconds(one.began_at)) for one in runs if one.state == of]
            for rule, of in _STATES.items()
        }
        silent = state.silent_since > 0
        missed[SILENT] = [WatchdogEpisode("", "", format_seconds(state.silent_since))] if silent else []
        learned = {
            LONG: any(count >= usual.MIN_RUNS for count in agents.values()),
            UNENDED: sum(agents.values()) >= usual.MIN_RUNS,
            SILENT: state.usual_silence is not None,
        }
        found = []
        for name, about in ABOUT.items():
            how: WatchdogState = "missed" if missed[name] else "ok" if learned[name] else "learning"
            found.append(WatchdogRule(name, about, how, len(missed[name]), missed[name][:_MOST_SHOWN]))
        return found


def _rule_of(one: RunRow) -> str:
    return LONG if one.state == "long" else UNENDED


def _load(db: Connection) -> _State:
    text = inbox.fact(db, _FACT)
    try:
        return msgspec.json.decode(text, type=_State) if text else _State()
    except msgspec.MsgspecError:  # another version's
        return _State()


def _save(db: Connection, state: _State) -> None:
    inbox.set_fact(db, _FACT, msgspec.json.encode(state).decode())


def _set_floor(db: Connection, process: str, floor: int) -> None:
    state = _load(db)
    if state.process == process:
        state.floor = floor
        _save(db, state)
