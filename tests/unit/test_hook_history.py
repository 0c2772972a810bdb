"""Hooks that used to fire and no longer do: judged by what they are due with, each by its own history."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from openclaw_nats.alerts.conditions import conditions
from openclaw_nats.contract import health as shapes
from openclaw_nats.contract.plugin import HookCount, PluginReport
from openclaw_nats.doctor import openclaw_side
from openclaw_nats.errors import InvalidInput, Unavailable
from openclaw_nats.events.identity import Identity
from openclaw_nats.events.messages import Message
from openclaw_nats.health.hook_history import Change, History, problems, take
from openclaw_nats.health.hook_watch import HookWatch
from openclaw_nats.ports import Stored
from openclaw_nats.storage.database import Database
from tests.support.memory_log import MemoryLog

NOW = 1_790_000_000.0


class Gateway:
    """One process of a Gateway after the other, and what its reports lead to."""

    def __init__(self) -> None:
        self.history = History()
        self.changes: list[Change] = []
        self.begin("2026.9.6")

    def begin(self, version: str) -> None:
        """A new process."""
        self.version, self.processes = version, getattr(self, "processes", 0) + 1
        self.counts: dict[str, HookCount] = {}

    def report(self, **more: bool) -> PluginReport:
        """As the plugin would report now."""
        return PluginReport(
            plugin_version="0.2.0",
            gateway_version=self.version,
            started_at=f"process {self.processes}",
            hooks={kind: HookCount(one.fired, one.due) for kind, one in self.counts.items()},
            **more,
        )

    def turns(self, number: int, *, fired: int = 1, kind: str = "llm.output", each: int = 1, **more: bool) -> None:
        """So many turns with `fired` events each; a report after every `each` turns."""
        for one in range(1, number + 1):
            count = self.counts.setdefault(kind, HookCount())
            count.fired, count.due = count.fired + fired, count.due + 1
            if one % each == 0:
                self.changes += take(self.history, self.report(**more), NOW)[1]

    @property
    def problems(self) -> list[str]:
        return list(problems(self.history).values())


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


def test_a_hook_that_stopped_with_a_new_openclaw_is_named_with_it(gateway: Gateway) -> None:
    gateway.turns(50)
    gateway.begin("2026.9.7")
    gateway.turns(9, fired=0)
    assert gateway.problems == []
    gateway.turns(3, fired=0)
    text = "llm.output events have stopped: since OpenClaw 2026.9.7 none in 12 turns; before, there were 50 in 50 turns"
    assert gateway.problems == [text]
    data = {"hook": "llm.output", "missing": 10, "firedBefore": 50, "dueBefore": 50, "sinceVersion": "2026.9.7"}
    assert gateway.changes == [Change(False, data)], "once an episode"


def test_one_that_stopped_without_a_new_openclaw_is_told_without_a_version(gateway: Gateway) -> None:
    gateway.turns(30)
    gateway.turns(6, fired=0)
    gateway.begin("2026.9.7")
    gateway.turns(6, fired=0)
    assert gateway.problems == ["llm.output events have stopped: none in 12 turns; before, there were 30 in 30 turns"]


def test_the_version_stays_with_which_it_stopped(gateway: Gateway) -> None:
    gateway.turns(30)
    gateway.begin("2026.9.7")
    gateway.turns(10, fired=0)
    gateway.begin("2026.9.8")
    gateway.turns(10, fired=0)
    assert "since OpenClaw 2026.9.7 none in 20 turns" in gateway.problems[0]
    assert len(gateway.changes) == 1


def test_it_is_told_once_when_they_are_back_and_again_when_they_stop_again(gateway: Gateway) -> None:
    gateway.turns(30)
    gateway.turns(15, fired=0)
    gateway.turns(1)
    assert gateway.problems == []
    gateway.turns(10, fired=0)
    assert [one.back for one in gateway.changes] == [False, True, False], "an outage does not make the next one longer"


def test_without_turns_nothing_is_missing(gateway: Gateway) -> None:
    gateway.turns(30)
    gateway.begin("2026.9.7")
    for _ in range(100):
        assert take(gateway.history, gateway.report(), NOW) == (False, [])
    assert gateway.problems == []


def test_what_never_fired_or_rarely_is_not_judged(gateway: Gateway) -> None:
    gateway.turns(900, fired=0, kind="model.call")
    gateway.turns(19, kind="tool")
    gateway.turns(500, fired=0, kind="tool")
    assert gateway.problems == []
    for _ in range(30):
        gateway.turns(25, fired=0)
        gateway.turns(1)
    gateway.turns(200, fired=0)
    assert gateway.problems == []
    assert gateway.changes == []


def test_one_that_is_missing_now_and_then_has_longer(gateway: Gateway) -> None:
    for _ in range(20):
        gateway.turns(5, fired=0)
        gateway.turns(1)
    gateway.turns(14, fired=0)
    assert gateway.problems == []
    gateway.turns(1, fired=0)
    assert len(gateway.problems) == 1


def test_many_turns_in_one_report_are_no_gap(gateway: Gateway) -> None:
    gateway.turns(60, each=30)
    gateway.turns(10, fired=0)
    assert len(gateway.problems) == 1


def test_an_old_report_or_one_of_an_older_process_counts_nothing_twice(gateway: Gateway) -> None:
    gateway.turns(10)
    early = gateway.report()
    gateway.turns(30)
    late = gateway.report()
    gateway.begin("2026.9.7")
    gateway.turns(5, fired=0)
    for report in (early, late, early, gateway.report(), late):
        assert take(gateway.history, report, NOW) == (False, [])
    assert gateway.history.kinds["llm.output"].before == (40, 40)
    assert gateway.history.kinds["llm.output"].missing == 5


def test_permission_taken_away_is_no_hook_that_stopped(gateway: Gateway) -> None:
    gateway.turns(30)
    gateway.turns(50, fired=0, conversation_access=False)
    assert gateway.problems == []


def test_what_stays_away_for_a_thousand_turns_is_how_it_is_now(gateway: Gateway) -> None:
    gateway.turns(30)
    gateway.turns(999, fired=0)
    assert gateway.problems
    gateway.turns(1, fired=0)
    assert gateway.problems == []
    assert len(gateway.changes) == 1


def test_figures_are_of_the_newest_events_and_nothing_grows(gateway: Gateway) -> None:
    gateway.turns(5000)
    fired, due = gateway.history.kinds["llm.output"].before
    assert fired == due
    assert 200 <= fired <= 400
    for _ in range(20):
        gateway.begin("2026.9.6")
        gateway.turns(1)
    assert len(gateway.history.processes) == 4


@pytest.mark.parametrize("count", [HookCount(-1, 50), HookCount(0, -5), HookCount(0, 1 << 62), HookCount(1 << 62, 0)])
def test_counts_that_can_not_be_are_passed_over(gateway: Gateway, count: HookCount) -> None:
    gateway.turns(30)
    gateway.counts = {"llm.output": count, "a kind of nobody's": HookCount(1, 1)}
    assert take(gateway.history, gateway.report(), NOW) == (False, [])
    assert set(gateway.history.kinds) == {"llm.output"}
    gateway.version = "x\n\x1b[31m" + "9" * 1000
    gateway.begin(gateway.version)
    gateway.turns(10, fired=0)
    assert "since OpenClaw x[31m999" in gateway.problems[0]
    assert len(gateway.problems[0]) < 200


def test_it_is_a_finding_of_doctor_and_an_alert(gateway: Gateway) -> None:
    gateway.turns(30)
    gateway.begin("2026.9.7")
    gateway.turns(10, fired=0)
    plugin = {"reachable": True, "version": "1", "problems": gateway.problems, "stoppedHooks": ["llm.output"]}
    found = [one for one in openclaw_side.reports({"plugin": plugin}, None) if one.check == "hooks"]
    assert [(one.state, one.text) for one in found] == [("problem", gateway.problems[0])]
    spool = shapes.SpoolHealth(events=0, bytes=0, oldest_seconds=0.0, dropped=0, rejected=0)
    health = shapes.PluginHealth(
        reachable=True, since="", last_error="", version="1", problems=gateway.problems, notes=[],
        gateway_version="2026.9.7", spool=spool, stopped_hooks=["llm.output"],
    )  # fmt: skip
    (told,), _ = conditions(shapes.Health("up", plugin=health), 0, NOW)
    assert (told.key, told.kind) == ("hooks", "plugin")
    assert told.text == "llm.output events have stopped; OpenClaw is 2026.9.7 now"
    health.problems = ["something of the plugin's own", *gateway.problems]
    both, _ = conditions(shapes.Health("up", plugin=health), 0, NOW)
    assert [one.key for one in both] == ["hooks", "plugin"]


class Log(MemoryLog):
    """A stream whose answer may be lost."""

    fails = False
    appended = 0

    async def append(self, messages: Sequence[Message]) -> list[Stored | InvalidInput]:
        stored = await super().append(messages)
        self.appended += len(messages)
        if self.fails:
            raise Unavailable("the answer is lost")
        return stored


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    one = Database(tmp_path / "sidecar.db")
    yield one
    one.close()


def test_each_episode_is_one_event_whatever_is_killed(database: Database, gateway: Gateway) -> None:
    events = Log()

    def watch() -> HookWatch:
        """As after a kill: only what is on disk is known."""
        return HookWatch(database, events, Identity(b"k" * 32), "home", lambda: NOW)

    async def told() -> None:
        one = watch()
        one.receive(gateway.report())
        await one.look()

    async def go() -> None:
        gateway.turns(30)
        await told()
        gateway.begin("2026.9.7")
        gateway.turns(10, fired=0)
        events.fails = True
        with pytest.raises(Unavailable):
            await told()
        assert watch().problems()
        events.fails = False
        await told()
        await told()
        gateway.turns(1)
        await told()

    asyncio.run(go())
    assert [one.subject for one in events.messages] == [
        "agent.events.bus.hooks_stopped",
        "agent.events.bus.hooks_back",
    ]
    assert events.appended == 2
    assert watch().problems() == {}


def test_a_history_of_another_version_is_begun_anew(database: Database) -> None:
    from openclaw_nats.storage import inbox

    database.now(lambda db: inbox.set_fact(db, "hook-history", '{"history": 3}'))
    assert HookWatch(database, Log(), Identity(b"k" * 32), "home").problems() == {}


def test_a_report_of_an_older_plugin_says_nothing_of_hooks(database: Database) -> None:
    one = HookWatch(database, Log(), Identity(b"k" * 32), "home")
    one.receive(PluginReport(plugin_version="0.1.0"))
    asyncio.run(one.look())
    assert one.problems() == {}
