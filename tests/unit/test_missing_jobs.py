"""Cron jobs that leave the stream: whoever removes one here hears nothing, everything else is said once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from openclaw_nats.errors import Unavailable
from openclaw_nats.events.identity import Identity
from openclaw_nats.schedules import names
from openclaw_nats.schedules.cron_book import CronBook
from openclaw_nats.schedules.keeper import REFRESH_SECONDS, Keeper
from openclaw_nats.schedules.missing_jobs import JOBS_LOST, MissingJobs
from openclaw_nats.storage.database import Database
from tests.support.memory_log import MemoryLog
from tests.support.memory_schedules import MemorySchedules
from tests.unit.test_keeper import MONDAY, prepared

DAY = 86400.0


class House:
    """A sidecar's keeper, jobs and watch, over a stream and an event log in memory."""

    def __init__(self, folder: Path) -> None:
        self.now = MONDAY
        self.stream = MemorySchedules(lambda: self.now)
        self.events = MemoryLog()
        self.database = Database(folder / "sidecar.db")
        self.start()

    def start(self) -> None:
        """The sidecar begins (again): what it knows comes from its database."""
        self.watch = MissingJobs(self.database, self.events, Identity(b"k" * 32), "kitchen", lambda: self.now)
        self.keeper = Keeper(self.stream, "kitchen", prepared, clock=lambda: self.now, watch=self.watch)
        self.book = CronBook(self.stream, self.keeper, "kitchen", "UTC", prepared, clock=lambda: self.now)

    async def look(self) -> None:
        """Until the keeper has surely looked at the stream."""
        for _ in range(3):
            self.now += REFRESH_SECONDS
            await self.keeper.step()

    async def save(self, *jobs: str) -> None:
        for name in jobs:
            await self.book.save({"name": name, "cron": "0 8 * * *"})
        await self.look()

    async def delete_stream(self) -> None:
        await self.stream.purge("agent.schedules.>")

    def said(self) -> list[list[str]]:
        """The jobs that each event names."""
        return [
            msgspec.json.decode(one.body)["data"]["jobs"] for one in self.events.messages if one.subject == JOBS_LOST
        ]

    def missing(self) -> list[str]:
        """What the health report names."""
        report: Any = self.watch.report()
        return report.names if report else []


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    one = House(tmp_path)
    yield one
    one.database.close()


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_deleted_stream_is_said_once(house: House, restarted: bool) -> None:
    await house.save("a", "with space ☕")
    await house.delete_stream()
    if restarted:
        house.start()
    await house.look()
    house.start()
    await house.look()
    assert house.said() == [["a", "with space ☕"]]
    assert house.missing() == ["a", "with space ☕"]


async def test_whoever_removes_a_job_hears_nothing(house: House) -> None:
    await house.save("a", "b")
    await house.book.remove("a")
    await house.look()
    assert (house.said(), house.missing()) == ([], [])
    await house.stream.purge(names.job_subject(names.key_in("kitchen", "b")))
    await house.look()
    assert house.said() == [["b"]]


async def test_a_job_that_is_added_again_is_not_missing(house: House) -> None:
    await house.save("a", "b")
    await house.delete_stream()
    await house.look()
    await house.save("a")
    assert house.missing() == ["b"]
    house.now += 8 * DAY
    assert house.missing() == [], "after a week the event and the log keep it"
    await house.delete_stream()
    await house.look()
    assert house.said() == [["a", "b"], ["a"]], "each loss is one of its own"


async def test_what_belongs_to_another_gateway_is_not_ours(house: House) -> None:
    other = Keeper(house.stream, "cellar", prepared, clock=lambda: house.now)
    book = CronBook(house.stream, other, "cellar", "UTC", prepared, clock=lambda: house.now)
    await book.save({"name": "theirs", "cron": "0 8 * * *"})
    await house.look()
    await house.delete_stream()
    await house.look()
    assert (house.said(), house.missing()) == ([], [])


async def test_a_stream_that_can_not_be_read_loses_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.save("a")

    async def away(pattern: str) -> list[Any]:
        raise Unavailable("NATS is away")

    with monkeypatch.context() as patch:
        patch.setattr(house.stream, "read", away)
        await house.look()
    assert house.missing() == []
    await house.look()
    assert (house.said(), house.missing()) == ([], [])


async def test_an_event_that_can_not_be_stored_is_said_later(house: House) -> None:
    await house.save("a")
    house.events.away = True
    await house.delete_stream()
    await house.look()
    assert house.keeper.problem
    house.events.away = False
    await house.look()
    assert (house.said(), house.missing()) == ([["a"]], ["a"])
    assert not house.keeper.problem
