"""The built-in rules, held to a model: they say nothing that is not true, whatever restarts, sleeps or is set."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openclaw_nats.contract.plugin import PluginReport, SpoolReport
from openclaw_nats.expectations import usual
from openclaw_nats.expectations import watchdog as module
from openclaw_nats.expectations.run_events import RunEvent
from openclaw_nats.expectations.times import Times
from openclaw_nats.expectations.usual import LONG, SILENT, UNENDED, longest_usual_run, longest_usual_silence
from openclaw_nats.expectations.watchdog import Watchdog
from openclaw_nats.storage import expectations as notices
from openclaw_nats.storage import watchdog as rows
from openclaw_nats.storage.database import MIGRATIONS

SCHEMA = "".join(one.read_text() for one in sorted(MIGRATIONS.glob("*.sql")))


class World:
    """A Gateway whose plugin reports every ten seconds while it is up, and a sidecar that reads what it sends."""

    def __init__(self) -> None:
        self.steady, self.wall = 1000.0, 1_800_000_000.0
        self.db = sqlite3.connect(":memory:")
        self.db.executescript(SCHEMA)
        self.process, self.sequence, self.handled = 1, 0, 0
        self.spool: list[Callable[[], None]] = []
        self.spooled_since = 0.0
        self.dropped = 0
        self.holds = False  # whether the spool keeps what there is
        self.restart_sidecar()

    def restart_sidecar(self) -> None:
        self.dog = Watchdog("home", Times(lambda: self.wall, lambda: self.steady, "boot"))

    async def write(self, job: Callable[[Any], Any]) -> Any:
        return job(self.db)

    read = write

    async def last(self, pattern: str) -> int:
        return self.sequence

    async def up(self, seconds: float, *, nats: bool = True) -> None:
        """Without `nats` the plugin reports, but nothing can be stored, read or decided."""
        self.holds = self.holds or not nats
        for _ in range(int(seconds // 10)):
            self.sleep(10)
            oldest = self.steady - self.spooled_since if self.spool else 0.0
            spool = SpoolReport(events=len(self.spool), oldest_seconds=oldest, dropped=self.dropped)
            self.dog.receive(PluginReport("1", started_at=str(self.process), spool=spool))
            if nats:
                await self.dog.look(self, self.last, self.handled)  # type: ignore[arg-type]

    def sleep(self, seconds: float) -> None:
        self.steady += seconds
        self.wall += seconds

    def restart(self) -> None:
        self.process += 1

    def event(self, run: str, *, ended: bool = False, seconds: float | None = None) -> None:
        def store() -> None:
            self.sequence += 1
            self.handled = self.sequence
            self.dog.take(self.db, [RunEvent(self.sequence, self.wall, run, "main", "s", ended, seconds)])

        if self.holds:
            self.spooled_since = self.spooled_since if self.spool else self.steady
            self.spool.append(store)
        else:
            store()

    def upload(self) -> None:
        self.holds = False
        for one in self.spool:
            one()
        self.spool.clear()

    def learned(self, seconds: float = 30.0, count: int = 20) -> None:
        for _ in range(count):
            rows.learn(self.db, "main", seconds)

    def said(self) -> list[tuple[str, str, str]]:
        found = [(one.subject.split(".")[3:], msgspec.json.decode(one.data)) for one in notices.notices(self.db, 1000)]
        return [(subject[0], subject[1], data["key"]) for subject, data in found]


async def test_a_run_that_takes_longer_than_usual_is_said_once_and_that_it_ended() -> None:
    world = World()
    world.learned()
    await world.up(60)
    world.event("r")
    await world.up(300)
    assert world.said() == [], "five minutes are never unusual"
    await world.up(3600)
    assert world.said() == [("missed", LONG, "r")]
    world.event("r", ended=True, seconds=3900)
    world.event("r")
    await world.up(86400)
    assert world.said() == [("missed", LONG, "r"), ("recovered", LONG, "r")]


async def test_a_run_without_an_end_is_said_while_its_agent_is_not_known_and_a_restart_ends_it() -> None:
    world = World()
    world.learned(count=19)
    rows.learn(world.db, "other", 5.0)
    await world.up(60)
    world.event("r")
    await world.up(6 * 3600)
    assert world.said() == []
    await world.up(600)
    assert world.said() == [("missed", UNENDED, "r")]
    world.restart()
    await world.up(60)
    assert world.said() == [("missed", UNENDED, "r"), ("recovered", UNENDED, "r")]


async def test_time_that_nobody_watched_and_sleep_and_clocks_that_are_set_count_for_nothing() -> None:
    world = World()
    world.learned()
    await world.up(60)
    world.event("r")
    for _ in range(20):
        world.sleep(9 * 3600)
        world.restart_sidecar()
        world.wall += 86400
        await world.up(10)
        world.wall -= 2 * 86400
    assert world.said() == []


async def test_a_run_that_waits_for_an_approval_begins_again() -> None:
    world = World()
    world.learned()
    await world.up(60)
    world.event("r")
    columns = "key, state, agent, session, run_id, route_id, route, dispatch_id, hops, events, tool, arguments, size"
    sql = f"INSERT INTO approvals ({columns}, digest, rule, first_at, last_at, expires_at) VALUES "  # noqa: S608
    world.db.execute(f"{sql}('k', 'pending', 'main', '', 'r', 0, '', '', 0, '[]', 't', '{{}}', 0, '', '', 0, 0, 0)")
    await world.up(4 * 3600)
    world.db.execute("UPDATE approvals SET state = 'approved'")
    await world.up(300)
    assert world.said() == []
    await world.up(200)
    assert world.said() == [("missed", LONG, "r")]


async def test_an_end_that_lies_in_the_spool_or_is_still_to_be_read_is_no_missing_end() -> None:
    world = World()
    world.learned()
    await world.up(60)
    world.event("r")
    world.holds = True
    world.event("r", ended=True, seconds=1.0)
    await world.up(3600)
    assert world.said() == []
    world.upload()
    world.event("s")
    world.sequence += 1  # something is in the stream that was not read
    await world.up(3600)
    assert world.said() == []


async def test_a_run_that_began_in_an_outage_of_nats_is_as_old_as_it_is() -> None:
    world = World()
    world.learned()
    await world.up(60)
    await world.up(4 * 3600, nats=False)
    world.event("r")
    world.upload()
    await world.up(200)
    assert world.said() == [], "the outage is not its time"
    await world.up(300)
    assert world.said() == [("missed", LONG, "r")]


async def test_where_the_ends_of_runs_have_stopped_no_run_misses_its_own() -> None:
    world = World()
    world.learned()
    await world.up(60)
    world.event("r")
    world.dog.ends_come = lambda: False
    await world.up(8 * 3600)
    assert world.said() == []
    world.dog.ends_come = lambda: True
    await world.up(60)
    assert world.said() == [("missed", LONG, "r")]


async def test_a_gateway_that_was_started_again_has_what_the_dead_one_left_sent_first() -> None:
    world = World()
    world.learned()
    await world.up(60)
    world.holds = True
    world.event("r")  # its end died with the process
    world.restart()
    await world.up(600)
    world.upload()
    world.event("s")
    await world.up(3600)
    assert world.said() == [], "neither is followed: it may be one of the process before"
    world.event("t")
    await world.up(600)
    assert world.said() == [("missed", LONG, "t")]


async def test_what_the_spool_dropped_may_have_been_the_end() -> None:
    world = World()
    world.learned()
    await world.up(60)
    world.event("r")
    world.dropped = 1
    await world.up(3600)
    assert world.said() == []


async def test_a_gateway_without_events_is_said_against_its_own_longest_pause() -> None:
    world = World()
    state = module._load(world.db)
    state.events, state.clock, state.heard = usual.MIN_EVENTS, usual.MIN_WATCHED_SECONDS, usual.MIN_WATCHED_SECONDS
    state.pauses = [(usual.MIN_WATCHED_SECONDS - 100, 8 * 3600.0)]  # its nights
    module._save(world.db, state)
    await world.up(24 * 3600)
    assert world.said() == []
    await world.up(600)
    assert world.said() == [("missed", SILENT, "")]
    await world.up(3600)
    world.event("r")
    assert world.said() == [("missed", SILENT, ""), ("recovered", SILENT, "")]
    await world.up(60)
    assert world.said()[2:] == []


async def test_a_gateway_of_which_little_is_known_is_never_said_to_be_silent() -> None:
    world = World()
    world.event("r", ended=True, seconds=1.0)
    await world.up(5 * 86400)
    assert world.said() == []


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["begin", "end"]), st.sampled_from("xyz")),
        st.tuples(st.just("up"), st.sampled_from([20, 200, 1000])),
        st.tuples(st.just("outage"), st.sampled_from([20, 1000, 9000])),
        st.tuples(st.just("sleep"), st.sampled_from([100, 9000, 90000])),
        st.tuples(st.sampled_from(["restart", "kill", "hold", "upload"]), st.just("")),
        st.tuples(st.just("clock"), st.sampled_from([-90000, 90000])),
    ),
    max_size=30,
)


@settings(max_examples=100, deadline=None)
@given(steps=STEPS)
async def test_it_never_says_anything_untrue(steps: list[tuple[str, Any]]) -> None:
    world, lives, number = World(), dict[str, float](), 0
    world.learned(200.0)
    names: dict[str, str] = {}
    for what, value in steps:
        before = len(world.said())
        if what == "begin" and value not in names:
            number += 1
            names[value] = f"{value}{number}"
            lives[names[value]] = 0.0
            world.event(names[value])
        elif what == "end" and value in names:
            run = names.pop(value)
            world.event(run, ended=True, seconds=100.0)
            del lives[run]
        elif what == "up":
            for _ in range(value // 10):
                await world.up(10)
                lives = {run: long + 10 for run, long in lives.items()}
                for state, rule, run in world.said()[before:]:
                    assert state == "recovered" or (rule == LONG and lives[run] > 300), (state, rule, run)
                before = len(world.said())
        elif what == "outage":
            await world.up(value, nats=False)
            lives = {run: long + value for run, long in lives.items()}
        elif what == "sleep":
            world.sleep(value)
        elif what == "restart":
            world.restart()
            names.clear()
            lives.clear()
        elif what == "kill":
            world.restart_sidecar()
        elif what == "hold":
            world.holds = True
        elif what == "upload":
            world.upload()
        elif what == "clock":
            world.wall += value
    said = world.said()
    assert len(set(said)) == len(said), "one notice an episode"


def test_what_is_usual_is_learned_from_twenty_runs_and_their_spread() -> None:
    assert longest_usual_run([10.0] * 19) is None
    assert longest_usual_run([10.0] * 20) == 300.0
    assert longest_usual_run([1000.0] * 10 + [1200.0] * 10) == pytest.approx(1100 + 6 * 1.4826 * 100)
    assert longest_usual_run([10.0] * 20 + [5000.0]) == 5000.0, "what happened before is not unusual"
    assert longest_usual_run([10.0] * 96 + [5000.0] * 4) == 5000.0, "one in twenty-five takes that long"
    assert longest_usual_run([10.0] * 199 + [80000.0]) == 300.0, "one of two hundred is no measure"


def test_what_silence_is_usual_is_learned_from_events_and_time() -> None:
    days = usual.MIN_WATCHED_SECONDS
    assert longest_usual_silence(199, days, []) is None
    assert longest_usual_silence(200, days - 1, []) is None
    assert longest_usual_silence(200, days, []) == 3600.0
    assert longest_usual_silence(200, days, [60.0, 7200.0]) == 21600.0


def test_what_is_learned_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MAX_LENGTHS", 5)
    monkeypatch.setattr(rows, "MAX_AGENTS", 3)
    monkeypatch.setattr(rows, "MAX_RUNS", 4)
    monkeypatch.setattr(rows, "MAX_OVER", 2)
    db = World().db
    for agent in "abcde":
        for number in range(8):
            rows.learn(db, agent, float(number))
    assert rows.agents(db) == {"c": 5, "d": 5, "e": 5}
    assert sorted(rows.lengths(db, "e")) == [3.0, 4.0, 5.0, 6.0, 7.0]
    for number in range(9):
        rows.follow(db, rows.RunRow(str(number), "a", "", "open", number, number, number))
    assert len(rows.followed(db)) == 4
    rows.end_all(db, 10.0)
    rows.tidy(db, 0.0)
    assert db.execute("SELECT count(*) FROM watchdog_runs").fetchone() == (2,)
