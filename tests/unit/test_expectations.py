"""Rules about silence, held to a model: events, deadlines, spools and clocks that are set, in any order."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openclaw_nats.contract.expectations import ExpectationDocument
from openclaw_nats.contract.plugin import PluginReport, SpoolReport
from openclaw_nats.errors import OpenClawNatsError
from openclaw_nats.expectations import episodes
from openclaw_nats.expectations.episodes import Fault, Fired, Seen
from openclaw_nats.expectations.ready import READY
from openclaw_nats.expectations.rule import Index, Rule, compile_rule
from openclaw_nats.expectations.times import Times
from openclaw_nats.expectations.watermark import ADOPTING_SECONDS, ON_THE_WAY_SECONDS, Watermark
from openclaw_nats.fleet.lease import Claim
from openclaw_nats.fleet.place import Place
from openclaw_nats.storage import expectations as rows
from openclaw_nats.storage.database import MIGRATIONS

A, B = "agent.events.custom.a", "agent.events.custom.b"
START = 1_800_000_000.0


class World:
    """A rule on a database in memory, with a clock that tests move."""

    def __init__(self, **fields: Any) -> None:
        self.wall, self.steady = START, 1000.0
        self.times = Times(lambda: self.wall, lambda: self.steady, "boot")
        self.db = sqlite3.connect(":memory:")
        self.db.executescript((MIGRATIONS / "0015_expectations.sql").read_text())
        document = ExpectationDocument(name="rule", **fields)
        number = rows.put_rule(self.db, "rule", msgspec.json.encode(document).decode(), START, 0)
        self.rule: Rule = compile_rule(document, number)
        if self.rule.periodic:
            episodes.begin_period(self.db, self.rule, START, self.times)

    def pass_time(self, seconds: float) -> None:
        """Deadlines fire at their time, as nats-server does it."""
        end = self.wall + seconds
        while (due := self._next()) is not None and due[1] <= end:
            self._move(due[1] - self.wall)
            self.fire(due[0])
            if rows.numbered(self.db, due[0]) == due[2]:
                break
        self._move(end - self.wall)

    def _next(self) -> tuple[int, float, Any] | None:
        found = rows.in_state(self.db, "open", 1)
        return (found[0].id, max(found[0].due, self.wall), found[0]) if found else None

    def _move(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds

    def fire(self, number: int) -> None:
        episodes.take(self.db, Fired(number, self.wall), self.times)

    def a(self, key: str = "") -> None:
        episodes.take(self.db, Seen(self.rule, "begins", key, self.wall), self.times)

    def b(self, key: str = "") -> list[int]:
        return episodes.take(self.db, Seen(self.rule, "by", key, self.wall), self.times)

    def decide(self) -> None:
        for one in rows.in_state(self.db, "unknown", 1000):
            episodes.decide(self.db, self.rule, one, self.wall)

    def said(self, key: str = "") -> list[str]:
        found = [(one.subject.split(".")[3], msgspec.json.decode(one.data)) for one in rows.notices(self.db, 1000)]
        return [what for what, data in found if data["key"] == key]


class Model:
    """What has to be said of one key, when no spool holds anything back."""

    def __init__(self, within: float) -> None:
        self.within, self.due, self.missed = within, None, False
        self.said: list[str] = []

    def until(self, now: float) -> None:
        if self.due is not None and not self.missed and now >= self.due:
            self.missed = True
            self.said.append("missed")

    def a(self, now: float) -> None:
        self.until(now)
        if self.due is None:
            self.due = now + self.within

    def b(self, now: float) -> None:
        self.until(now)
        if self.missed:
            self.said.append("recovered")
        self.due, self.missed = None, False

    due: float | None


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("a"), st.sampled_from("xyz")),
        st.tuples(st.just("b"), st.sampled_from("xyz")),
        st.tuples(st.just("time"), st.integers(1, 15)),
        st.tuples(st.just("decide"), st.just("")),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(steps=STEPS)
def test_each_absence_is_said_once_and_none_that_is_not_true(steps: list[tuple[str, Any]]) -> None:
    world, models = World(after=A, by=B, within="10s", key="data.n"), {key: Model(10.0) for key in "xyz"}
    for what, value in steps:
        if what == "time":
            world.pass_time(value + 0.25)
        elif what == "decide":
            world.decide()
        else:
            getattr(world, what)(value)
            getattr(models[value], what)(world.wall)
    world.pass_time(20)
    world.decide()
    for key, model in models.items():
        model.until(world.wall)
        assert world.said(key) == model.said, (key, steps)


@settings(max_examples=200, deadline=None)
@given(steps=STEPS)
def test_what_may_still_come_out_of_a_spool_is_never_said_to_be_missed(steps: list[tuple[str, Any]]) -> None:
    world = World(after=A, by=B, within="10s", key="data.n", spools=True)
    for what, value in steps:
        if what == "time":
            world.pass_time(value)
        elif what != "decide":
            getattr(world, what)(value)
    for key in "xyz":
        world.b(key)
    world.pass_time(100)
    world.decide()
    assert [world.said(key) for key in "xyz"] == [[], [], []]


def test_a_clock_that_is_put_forward_fires_too_early_and_makes_no_absence() -> None:
    world = World(after=A, by=B, within="60s")
    world.a()
    number = rows.in_state(world.db, "open", 1)[0].id
    world.wall += 3600  # and nats-server fires what is due by the new time
    world.fire(number)
    found = rows.numbered(world.db, number)
    assert found is not None
    assert (found.state, found.armed) == ("open", 0)
    assert found.due == pytest.approx(world.wall + 60)
    world.pass_time(59)
    assert not rows.in_state(world.db, "unknown", 10)
    world.b()
    world.pass_time(100)
    world.decide()
    assert world.said() == []


def test_a_clock_that_is_put_back_loses_no_absence() -> None:
    world = World(after=A, by=B, within="60s")
    world.a()
    found = rows.in_state(world.db, "open", 1)[0]
    world.wall -= 3600  # nats-server would fire it in an hour
    world.steady += 61
    assert world.times.left(found.due, found.boot, found.due_steady) == pytest.approx(-1)


def test_after_another_boot_the_stream_s_clock_decides() -> None:
    times = Times(lambda: START, lambda: 5.0, "this")
    assert times.left(START + 7, "another", 99999.0) == 7
    assert times.left(START + 7, "this", 12.0) == 7


def test_a_periodic_rule_says_once_that_nothing_comes_and_once_that_it_came() -> None:
    world = World(every="10s", grace="2s", by=B)
    world.pass_time(11)
    assert world.said() == []
    world.b()
    world.pass_time(13)
    world.decide()
    assert world.said() == ["missed"]
    world.pass_time(100)
    world.decide()
    assert world.said() == ["missed"]
    world.b()
    world.pass_time(11)
    world.b()
    assert world.said() == ["missed", "recovered"]


def test_a_cron_rule_waits_for_the_next_time_and_takes_what_comes_early() -> None:
    document = ExpectationDocument(name="n", by=B, cron="0 3 * * *", grace="1h", lookback="10m")
    rule = compile_rule(document)
    three = START - START % 86400 + 3 * 3600
    assert rule.due_after(three - 3600) == three + 3600
    assert rule.due_after(three - 300) == three + 86400 + 3600, "five minutes early counts for this time"
    assert rule.due_after(three + 1) == three + 86400 + 3600


def test_what_must_not_come_is_said_when_it_comes_in_time() -> None:
    world = World(before=A, by=B, within="10s", key="data.n")
    world.a("x")
    world.a("y")
    world.b("x")
    world.pass_time(11)
    world.decide()
    world.b("y")
    assert (world.said("x"), world.said("y")) == (["missed"], [])


def test_b_before_a_counts_within_the_lookback_alone() -> None:
    world = World(after=A, by=B, within="10s", key="data.n", lookback="5s")
    world.b("x")
    world.pass_time(4)
    world.a("x")
    world.b("y")
    world.pass_time(6)
    world.a("y")
    world.pass_time(20)
    world.decide()
    assert (world.said("x"), world.said("y")) == ([], ["missed"])


def test_beyond_the_limit_what_was_missed_first_goes_and_what_is_open_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(episodes, "MAX_EPISODES", 2)
    world = World(after=A, by=B, within="10s", key="data.n")
    for key in ("1", "2", "3"):
        world.a(key)
    assert rows.rules(world.db)[0].overflow == 1
    world.pass_time(11)
    world.decide()
    world.a("4")
    assert rows.count(world.db, world.rule.id) == 2
    assert rows.episode(world.db, world.rule.id, "4") is not None
    assert rows.rules(world.db)[0].overflow == 1


def test_what_the_lookback_remembers_is_bounded() -> None:
    world = World(after=A, by=B, within="10s", key="data.n", lookback="1h")
    for number in range(30):
        rows.see(world.db, world.rule.id, str(number), START + number, 3600.0, 10)
    assert world.db.execute("SELECT count(*) FROM expectation_seen").fetchone() == (10,)
    assert rows.seen(world.db, world.rule.id, "29") == START + 29


def test_a_key_that_fails_is_counted_with_its_reason() -> None:
    world = World(after=A, by=B, within="10s", key="data.n")
    episodes.take(world.db, Fault(world.rule, "no field n"), world.times)
    row = rows.rules(world.db)[0]
    assert (row.faults, row.fault) == (1, "no field n")


def test_b_cancels_the_deadline_of_what_is_open() -> None:
    world = World(after=A, by=B, within="10s")
    world.a()
    number = rows.in_state(world.db, "open", 1)[0].id
    assert world.b() == [number]
    assert world.b() == []


def report(events: int, oldest: float, started: str = "s") -> PluginReport:
    return PluginReport("1", started_at=started, spool=SpoolReport(events=events, oldest_seconds=oldest))


def watermark(leases: list[Claim], steady: list[float]) -> Watermark:
    async def every() -> list[bytes]:
        return [msgspec.json.encode(one) for one in leases] + [b"no claim"]

    return Watermark("home", every, Times(lambda: START + steady[0], lambda: steady[0], "boot"))


def test_this_gateway_is_behind_until_a_report_says_that_its_spool_holds_nothing_older() -> None:
    steady = [1000.0]
    mark = watermark([], steady)
    assert mark.behind(0, "") == ["home"]
    mark.receive(report(0, 0))
    assert mark.behind(-60, "") == ["home"], "a new process first takes over what a dead one has left"
    steady[0] += ADOPTING_SECONDS
    mark.receive(report(3, 40.0))
    assert mark.behind(-50, "") == ["home"]
    assert mark.behind(-(40 + ON_THE_WAY_SECONDS), "") == []
    mark.receive(report(0, 0))
    assert mark.behind(-ON_THE_WAY_SECONDS, "") == []
    assert mark.uploaded == pytest.approx(START + steady[0] - ON_THE_WAY_SECONDS)
    assert mark.behind(-60, "another") == ["another"], "nothing is known of it"


async def test_other_gateways_are_behind_by_what_their_leases_say() -> None:
    steady = [1000.0]
    now = START + steady[0]
    claims = [_claim("far", now, now - 100), _claim("near", now, now - 5), _claim("old", now - 30 * 86400, 0.0)]
    mark = watermark(claims, steady)
    mark.receive(report(0, 0))
    steady[0] += ADOPTING_SECONDS
    mark.receive(report(0, 0))
    await mark.look()
    assert mark.behind(-50, "") == ["far"]
    assert mark.behind(-50, "near") == []


def _claim(name: str, written: float, uploaded: float) -> Claim:
    place = Place("installation", "host", "boot", "folder", "file")
    return Claim(name, place, "n", 1, written, written, uploaded=uploaded)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"by": B}, "after"),
        ({"by": B, "after": A, "before": A, "within": "1m"}, "before"),
        ({"by": B, "after": A}, "within"),
        ({"by": B, "after": A, "within": "0s"}, "within"),
        ({"by": B, "after": A, "within": "9000d"}, "within"),
        ({"by": B, "after": A, "within": "1m", "grace": "1m"}, "grace"),
        ({"by": B, "every": "1d", "key": "data.n"}, "key"),
        ({"by": B, "cron": "nonsense"}, "cron"),
        ({"by": "elsewhere", "every": "1d"}, "by"),
        ({"by": "agent.events.expectation.missed.x", "every": "1d"}, "by"),
        ({"by": B, "after": A, "within": "1m", "key": "nobody.knows"}, "key"),
    ],
)
def test_what_can_not_be_a_rule_names_its_field(fields: dict[str, str], field: str) -> None:
    with pytest.raises(OpenClawNatsError) as caught:
        compile_rule(ExpectationDocument(name="x", **fields))  # type: ignore[arg-type]
    assert getattr(caught.value, "field", "") == field or str(caught.value).startswith(field)


def test_rules_do_not_look_at_what_expectations_say() -> None:
    rule = compile_rule(ExpectationDocument(name="x", by="agent.events.>", every="1d"))
    index = Index([rule])
    assert index.of("agent.events.expectation.missed.y") == []
    assert index.of("agent.events.custom.y") == [(rule, "by")]


def test_gateways_alone_are_waited_for_where_they_alone_can_tell() -> None:
    for by, spools in ((B, False), ("agent.events.agent.run_ended", True), ("agent.events.>", True)):
        assert compile_rule(ExpectationDocument(name="x", by=by, every="1d")).spools is spools


@pytest.mark.parametrize("one", READY, ids=lambda one: one.name)
def test_ready_made_rules_are_rules(one: Any) -> None:
    rule = compile_rule(one.rule)
    assert rule.about
    assert bool(one.needs) == ("OF" in one.rule.by)
