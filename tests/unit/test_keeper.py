"""The keeper under a clock in hand: months of jobs in seconds, with outages, clocks that jump, and two at once."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from openclaw_nats.errors import MessageRefused
from openclaw_nats.events.envelope import Event, encode
from openclaw_nats.events.lateness import too_late
from openclaw_nats.ports import Arm, Record
from openclaw_nats.schedules.cron_book import CronBook
from openclaw_nats.schedules.keeper import REFRESH_SECONDS, Keeper
from tests.support.memory_schedules import MemorySchedules

MONDAY = datetime(2026, 11, 23, tzinfo=UTC).timestamp()
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


async def prepared(event: Event) -> bytes:
    return encode(event)


@dataclass
class Clock:
    """The server's and the sidecars' clock; each sidecar's may be off by some seconds."""

    now: float = MONDAY

    def off_by(self, seconds: Callable[[], float] = lambda: 0.0) -> Callable[[], float]:
        return lambda: self.now + seconds()


@dataclass
class World:
    """One schedules stream, and sidecars that keep jobs armed in it."""

    clock: Clock = field(default_factory=Clock)
    names: Any = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.log = MemorySchedules(lambda: self.clock.now)

    def sidecar(self, gateway: str = "kitchen", off: Callable[[], float] = lambda: 0.0) -> tuple[Keeper, CronBook]:
        clock = self.clock.off_by(off)
        keeper = Keeper(self.log, gateway, prepared, clock=clock)
        return keeper, CronBook(self.log, keeper, gateway, "UTC", prepared, clock=clock)

    async def pass_(self, seconds: float, *keepers: Keeper) -> None:
        """So much time passes; the keepers look as often as they want to."""
        until = self.clock.now + seconds
        due = dict.fromkeys(keepers, self.clock.now)
        while self.clock.now < until:
            for keeper in keepers:
                if due[keeper] <= self.clock.now:
                    due[keeper] = self.clock.now + await keeper.step()
            self.clock.now = min([until, *due.values()])

    async def fired(self, name: str = "") -> list[tuple[float, float]]:
        """(when it was due, when it fired) of everything that fired in time, in seconds since the beginning."""
        found = []
        for record in await self.log.read("agent.schedules.fired.cron.>"):
            event = msgspec.json.decode(record.body)
            if too_late(record.headers, record.time) is None and event["data"]["_cron"]["jobName"].startswith(name):
                scheduled = datetime.fromisoformat(event["data"]["_cron"]["scheduledFor"]).timestamp()
                found.append((scheduled - MONDAY, record.time - MONDAY))
        return found


async def test_a_week_of_a_daily_job_fires_each_day_once() -> None:
    world = World()
    keeper, book = world.sidecar()
    await book.save({"name": "mail", "cron": "0 8 * * *"})
    await world.pass_(7 * DAY, keeper)
    assert await world.fired() == [(day * DAY + 8 * HOUR, day * DAY + 8 * HOUR) for day in range(7)]


async def test_what_is_armed_fires_without_a_sidecar_and_the_rest_is_made_up_for() -> None:
    world = World()
    keeper, book = world.sidecar()
    await book.save({"name": "mail", "cron": "0 8 * * *"})
    await world.pass_(MINUTE, keeper)
    await world.pass_(3 * DAY)  # nobody is there
    assert [due for due, _ in await world.fired()] == [8 * HOUR]
    again, _ = world.sidecar()
    await world.pass_(DAY, again)
    late = [(due, at) for due, at in await world.fired() if at - due > MINUTE]
    assert late == [(2 * DAY + 8 * HOUR, 3 * DAY + MINUTE)]  # the newest that was missed, and no other
    assert (3 * DAY + 8 * HOUR, 3 * DAY + 8 * HOUR) in await world.fired()


@pytest.mark.parametrize(("missed", "late"), [("skip", 0), ("run_once", 1), ("within:1h", 0), ("within:3d", 1)])
async def test_after_an_outage_of_the_server_the_policy_decides(missed: str, late: int) -> None:
    world = World()
    keeper, book = world.sidecar()
    await book.save({"name": "mail", "cron": "0 8 * * *", "missed": missed})
    await world.pass_(MINUTE, keeper)
    world.log.away = True
    await world.pass_(2 * DAY + 12 * HOUR, keeper)
    assert "away" in keeper.problem
    world.log.away = False
    await world.pass_(HOUR, keeper)
    assert keeper.problem == ""
    assert len(await world.fired()) == late


async def test_a_frequent_job_goes_on_for_ten_ticks_alone_and_makes_up_for_one_at_most() -> None:
    world = World()
    keeper, book = world.sidecar()
    await book.save({"name": "pulse", "cron": "*/10 * * * * *"})
    await world.pass_(5, keeper)
    await world.pass_(10 * MINUTE)
    assert [due for due, _ in await world.fired()] == [10.0 * n for n in range(1, 11)]
    again, _ = world.sidecar()
    await world.pass_(MINUTE, again)
    found = await world.fired()
    assert sum(at - due > 5 for due, at in found) <= 1
    assert len({due for due, _ in found}) == len(found)


async def test_two_sidecars_of_one_name_fire_each_tick_once() -> None:
    world = World()
    one, book = world.sidecar()
    other, _ = world.sidecar(off=lambda: 3.0)  # its clock is ahead
    await book.save({"name": "pulse", "cron": "* * * * *"})
    await world.pass_(2 * HOUR, one, other)
    due = [due for due, _ in await world.fired()]
    assert due == [n * MINUTE for n in range(1, 121)]


async def test_a_paused_job_is_silent_and_goes_on_from_when_it_is_resumed() -> None:
    world = World()
    keeper, book = world.sidecar()
    await book.save({"name": "pulse", "cron": "0 * * * *"})
    await world.pass_(2.5 * HOUR, keeper)
    await book.change("pulse", {"enabled": False})
    await world.pass_(5 * HOUR, keeper)
    await book.change("pulse", {"enabled": True})
    await world.pass_(2 * HOUR, keeper)
    assert [due / HOUR for due, _ in await world.fired()] == [1, 2, 8, 9]


async def test_a_clock_that_is_put_back_fires_no_tick_twice_and_misses_none_after_it() -> None:
    world = World()
    ahead = [3 * DAY]
    keeper, book = world.sidecar(off=lambda: ahead[0])
    await book.save({"name": "mail", "cron": "0 8 * * *"})
    await world.pass_(HOUR, keeper)
    ahead[0] = 0.0
    await world.pass_(2 * DAY, keeper)
    due = [due for due, _ in await world.fired()]
    assert len(due) == len(set(due))
    assert {8 * HOUR, DAY + 8 * HOUR} <= set(due)


async def test_a_record_that_nobody_can_read_costs_no_other_job() -> None:
    world = World()
    keeper, book = world.sidecar()
    await book.save({"name": "mail", "cron": "0 * * * *"})
    for number, body in enumerate((b"", b"{}", b"\xff", b'{"document": 5}', b"[" * 100_000)):
        await world.log.write(f"agent.schedules.job.kitchen.bad{number}", body)
    await world.pass_(3 * HOUR + MINUTE, keeper)
    assert [due / HOUR for due, _ in await world.fired()] == [1, 2, 3]
    jobs, unreadable = await book.all()
    assert [job.name for job in jobs] == ["mail"]
    assert len(unreadable) == 5


async def test_a_job_that_somebody_removed_does_not_fire_any_more() -> None:
    world = World()
    keeper, book = world.sidecar()
    await book.save({"name": "pulse", "cron": "* * * * *"})
    await world.pass_(3.5 * MINUTE, keeper)
    (record,) = await world.log.read("agent.schedules.job.>")
    await world.log.purge(record.subject)  # not by this sidecar
    await world.pass_(REFRESH_SECONDS, keeper)
    await world.pass_(HOUR, keeper)
    assert len(await world.fired()) == 3
    assert await world.log.subjects("agent.schedules.armed.>") == []


async def test_history_does_not_grow_for_ever() -> None:
    world = World()
    keeper, book = world.sidecar()
    await book.save({"name": "pulse", "cron": "* * * * *"})
    await world.pass_(5 * HOUR, keeper)
    assert len(await world.fired()) < 100 + 61


class _AnotherKeys(MemorySchedules):
    """A schedules stream as a sidecar sees it whose key did not seal what lies there."""

    async def last(self, pattern: str) -> Record | None:
        found = await super().last(pattern)
        return None if found is None else dataclasses.replace(found, ours=False)


async def test_who_has_another_key_arms_nothing_for_a_gateway_that_would_not_believe_it() -> None:
    world = World()
    world.log = _AnotherKeys(lambda: world.clock.now)
    _, cron = world.sidecar("kitchen")
    await cron.save({"name": "daily", "cron": "0 8 * * *"})
    [armed] = await world.log.subjects("agent.schedules.armed.cron.>")
    office, _ = world.sidecar("office")
    await office.step()
    assert await world.log.subjects("agent.schedules.armed.cron.>") == [armed], "what its own sidecar armed stays"
    await world.log.purge("agent.schedules.armed.cron.>")
    await world.pass_(2 * REFRESH_SECONDS, office)
    assert await world.log.subjects("agent.schedules.armed.cron.>") == []
    kitchen, _ = world.sidecar("kitchen")
    await kitchen.step()
    assert await world.log.subjects("agent.schedules.armed.cron.>") == [armed]


async def test_a_message_that_the_server_refuses_costs_no_other_job() -> None:
    world = World()
    keeper, book = world.sidecar()
    for name in ("aaa", "bad", "zzz"):
        await book.save({"name": name, "cron": "0 * * * *"})
    arm = world.log.arm

    async def refuse(arms: Sequence[Arm]) -> list[bool]:
        if any("bad" in one.subject for one in arms):
            raise MessageRefused("JetStream refused: invalid per-message TTL (error 10165)")
        return await arm(arms)

    world.log.arm = refuse  # type: ignore[method-assign]
    await world.log.purge("agent.schedules.armed.>")
    keeper, _ = world.sidecar()  # as after a restart
    await world.pass_(3 * HOUR + MINUTE, keeper)
    for name in ("aaa", "zzz"):
        assert [due for due, _ in await world.fired(name)][-2:] == [2 * HOUR, 3 * HOUR], name
    assert "bad" in keeper.problem
    assert "TTL" in keeper.problem
