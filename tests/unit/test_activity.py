"""The plots' numbers, with a clock and a stream that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from openclaw_nats.insight.activity import HOUR, Activity
from openclaw_nats.storage.database import Database

BEGIN = 1_800_000_000.0 // HOUR * HOUR


class Stream:
    """A stream's last sequence and the time, as the test says."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.last: int | None = 100

    async def last_sequence(self) -> int | None:
        return self.last


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    one = Database(tmp_path / "sidecar.db")
    yield one
    await asyncio.to_thread(one.close)


@pytest.fixture
def stream() -> Stream:
    return Stream()


@pytest.fixture
def activity(database: Database, stream: Stream) -> Activity:
    return Activity(database, stream.last_sequence, lambda: stream.now)


async def passes(activity: Activity, stream: Stream, seconds: int, a_second: float) -> None:
    """Let time pass with so many events a second, sampled every ten seconds."""
    for _ in range(seconds // 10):
        stream.now += 10
        assert stream.last is not None
        stream.last += round(10 * a_second)
        await activity.sample()


async def test_events_a_second_now_and_by_minute(activity: Activity, stream: Stream) -> None:
    assert activity.events_per_second() is None
    await activity.sample()
    await passes(activity, stream, 180, 2)
    assert activity.events_per_second() == pytest.approx(2)
    await passes(activity, stream, 60, 0)
    assert activity.events_per_second() == pytest.approx(0, abs=0.4)
    found = await activity.window("hour")
    assert found.step == 60
    assert len(found.events_per_second) == 60
    assert found.events_per_second[-5:-1] == pytest.approx([2, 2, 2, 0], abs=0.4)
    assert found.events_per_second[:50] == [None] * 50  # nobody counted


async def test_the_minute_that_runs_is_shown_too(activity: Activity, stream: Stream) -> None:
    await activity.sample()
    await passes(activity, stream, 30, 4)
    assert (await activity.window("hour")).events_per_second[-1] == pytest.approx(4)


async def test_the_day_outlives_a_restart_and_a_gap_stays_a_gap(database: Database, stream: Stream) -> None:
    first = Activity(database, stream.last_sequence, lambda: stream.now)
    await first.sample()
    await passes(first, stream, 1800, 1)
    stream.now += HOUR
    stream.last = 50_000  # stored while nobody counted
    again = Activity(database, stream.last_sequence, lambda: stream.now)
    await again.sample()
    await passes(again, stream, 900, 3)
    found = (await again.window("day")).events_per_second
    assert found[-7:] == pytest.approx([1, 1, None, None, None, None, 3], abs=0.2) or found[-8:-1] == pytest.approx(
        [1, 1, None, None, None, None, 3], abs=0.2
    )
    assert max(one for one in found if one is not None) < 5


async def test_a_new_stream_or_one_that_is_away_starts_anew(activity: Activity, stream: Stream) -> None:
    await activity.sample()
    await passes(activity, stream, 60, 5)
    stream.last = None
    await activity.sample()
    assert activity.events_per_second() is None
    stream.last = 3  # made anew: its numbers begin again
    await activity.sample()
    await passes(activity, stream, 60, 1)
    rates = [one for one in (await activity.window("hour")).events_per_second if one is not None]
    assert min(rates) >= 0
    assert max(rates) <= 5.5


async def test_turns_count_for_the_hour_up_to_each_point(
    activity: Activity, database: Database, stream: Stream
) -> None:
    stream.now = BEGIN + 2 * HOUR
    for minutes_ago in (130, 70, 30, 30, 5):
        at = stream.now - minutes_ago * 60
        await database.write(lambda db, at=at: db.execute("INSERT INTO turns (at, route_id) VALUES (?, 1)", (at,)))
    turns = (await activity.window("hour")).turns_per_hour
    assert turns[-1] == 3
    assert turns[0] == 1  # at the window's begin only the one of 70 minutes ago is within its hour
    day = (await activity.window("day")).turns_per_hour
    assert max(day) == 3
    assert day[0] == 0
