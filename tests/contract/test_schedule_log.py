"""The contract of ScheduleLog, on memory and on a real nats-server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from openclaw_nats.errors import Conflict, Unavailable
from openclaw_nats.events.lateness import too_late
from openclaw_nats.ports import Arm
from tests.contract.world import World, world_of

JOB = "agent.schedules.job.kitchen.tea"
TICK = "agent.schedules.armed.cron.kitchen=tea.100.7"
FIRED = "agent.schedules.fired.cron.kitchen=tea.100.cron.tea"
ONE = "agent.schedules.*.cron.kitchen=tea.100.>"


@pytest.fixture(params=["memory", "jetstream"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with world_of(request.param, tmp_path) as found:
        yield found


@pytest.fixture
def schedules(world: World) -> Any:
    return world.schedules


async def _come(schedules: Any, pattern: str, count: int = 1) -> list[Any]:
    """Wait for so many records on a pattern."""
    async with asyncio.timeout(20):
        while len(found := await schedules.read(pattern)) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return list(found)


async def test_a_subject_holds_one_record_and_the_newest_is_last(schedules: Any) -> None:
    first = await schedules.write(JOB, b"1", headers={"Mark": "a"})
    other = await schedules.write(f"{JOB}2", b"2")
    second = await schedules.write(JOB, b"3")
    assert first < other < second
    found = await schedules.read("agent.schedules.job.>")
    assert [(one.subject, one.body, one.sequence) for one in found] == [(f"{JOB}2", b"2", other), (JOB, b"3", second)]
    assert (await schedules.last("agent.schedules.job.>")).body == b"3"
    assert sorted(await schedules.subjects("agent.schedules.job.>")) == [JOB, f"{JOB}2"]
    assert abs(found[0].time - time.time()) < 30


async def test_of_nothing_there_is_nothing(schedules: Any) -> None:
    assert await schedules.read("agent.schedules.job.>") == []
    assert await schedules.last("agent.schedules.job.>") is None
    assert await schedules.subjects("agent.schedules.job.>") == []
    assert await schedules.purge("agent.schedules.job.>") == 0


async def test_headers_come_back(schedules: Any) -> None:
    await schedules.write(JOB, b"1", headers={"Mark": "a b"})
    assert (await schedules.last(JOB)).headers["Mark"] == "a b"


async def test_a_write_says_which_record_it_takes_the_place_of(schedules: Any) -> None:
    first = await schedules.write(JOB, b"1", revision=0)
    with pytest.raises(Conflict):
        await schedules.write(JOB, b"2", revision=0)
    with pytest.raises(Conflict):
        await schedules.write(JOB, b"2", revision=first + 100)
    second = await schedules.write(JOB, b"2", revision=first)
    assert (await schedules.last(JOB)).sequence == second


async def test_of_two_that_write_at_once_one_is_refused(schedules: Any) -> None:
    first = await schedules.write(JOB, b"0")
    tasks = [schedules.write(JOB, str(n).encode(), revision=first) for n in range(8)]
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(one, int) for one in found) == 1
    assert sum(isinstance(one, Conflict) for one in found) == 7


async def test_a_tick_is_written_once_whatever_form_it_has(schedules: Any) -> None:
    await schedules.write(FIRED, b"1", alone=ONE)
    with pytest.raises(Conflict):
        await schedules.write("agent.schedules.skipped.cron.kitchen=tea.100.note", b"2", alone=ONE)
    assert await schedules.arm([Arm(TICK, FIRED, time.time() + 60, b"3", alone=ONE)]) == [False]
    assert await schedules.subjects("agent.schedules.*.cron.>") == [FIRED]


async def test_what_is_armed_fires_at_its_time_and_leaves_its_place(schedules: Any) -> None:
    at = time.time() + 1.5
    assert await schedules.arm([Arm(TICK, FIRED, at, b"body", alone=ONE, headers={"Mark": "m"})]) == [True]
    assert await schedules.arm([Arm(f"{TICK}0", FIRED, at, b"again", alone=ONE)]) == [False]
    assert await schedules.subjects("agent.schedules.>") == [TICK]
    (found,) = await _come(schedules, "agent.schedules.fired.>")
    assert (found.subject, found.body, found.headers["Mark"]) == (FIRED, b"body", "m")
    assert found.time >= at - 0.5
    assert await schedules.subjects("agent.schedules.armed.>") == []


async def test_what_is_due_already_fires_at_once(schedules: Any) -> None:
    arms = [Arm(f"{TICK}{n}", f"{FIRED}{n}", time.time() - 100, str(n).encode()) for n in range(300)]
    assert await schedules.arm(arms) == [True] * 300
    assert len(await _come(schedules, "agent.schedules.fired.>", 300)) == 300


async def test_what_fires_too_late_says_so(world: World) -> None:
    at = time.time() + 1
    await world.schedules.arm([Arm(TICK, FIRED, at, b"1", keep=1.0)])
    await world.go()
    await asyncio.sleep(3)
    await world.come()
    await asyncio.sleep(1)
    found = await world.schedules.read("agent.schedules.fired.>")  # it may have been removed instead of fired
    assert all(too_late(one.headers, one.time) is not None for one in found)
    assert await world.schedules.subjects("agent.schedules.armed.>") == []


async def test_what_was_due_while_the_server_was_away_fires_when_it_is_back(world: World) -> None:
    await world.schedules.arm([Arm(TICK, FIRED, time.time() + 0.5, b"1")])
    await world.go()
    for attempt in (
        world.schedules.read("agent.schedules.>"),
        world.schedules.last(JOB),
        world.schedules.subjects("agent.schedules.>"),
        world.schedules.write(JOB, b"1"),
        world.schedules.arm([Arm(TICK, FIRED, time.time(), b"1")]),
        world.schedules.purge(JOB),
    ):
        with pytest.raises(Unavailable):
            await attempt
    await world.come()
    assert [one.body for one in await _come(world.schedules, "agent.schedules.fired.>")] == [b"1"]


async def test_what_is_purged_does_not_fire(schedules: Any) -> None:
    await schedules.arm([Arm(TICK, FIRED, time.time() + 1, b"1")])
    assert await schedules.purge("agent.schedules.armed.>") == 1
    await asyncio.sleep(2)
    assert await schedules.read("agent.schedules.>") == []


async def test_a_purge_may_keep_the_newest(schedules: Any) -> None:
    for number in range(5):
        await schedules.write(f"agent.schedules.fired.timer.k.{number}.x", str(number).encode())
    assert await schedules.purge("agent.schedules.fired.>", keep=2) == 3
    assert [one.body for one in await schedules.read("agent.schedules.fired.>")] == [b"3", b"4"]


async def test_closing_leaves_nobody_waiting(world: World) -> None:
    tasks = [asyncio.create_task(world.schedules.write(f"{JOB}{n}", b"x")) for n in range(50)]
    await asyncio.sleep(0)
    await world.close()
    found = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
    assert all(isinstance(one, int | Unavailable) for one in found), found
