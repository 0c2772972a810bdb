"""Which deliveries are known: noted together and on disk before their events; a repetition is known at once."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openclaw_nats.errors import Unavailable
from openclaw_nats.sources.deliveries import Deliveries
from openclaw_nats.storage import source_deliveries as rows
from openclaw_nats.storage.database import Database
from openclaw_nats.storage.source_deliveries import NewDelivery


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    one = Database(tmp_path / "x.db")
    yield one
    one.close()


def delivery(number: int, *, signed: int | None = None, source: str = "gh") -> NewDelivery:
    now = time.time()
    keys = [(f"d:{number}", now + 600), (f"s:{number if signed is None else signed}", now + 600)]
    return NewDelivery(source, keys, f"{source}:{number}", "agent.events.webhook.gh.push", now)


def on_disk(database: Database) -> list[tuple[Any, ...]]:
    with sqlite3.connect(database.path) as db:
        return list(map(tuple, db.execute("SELECT key, event_id, stored FROM source_deliveries ORDER BY key")))


async def test_a_delivery_is_on_disk_when_it_is_noted_and_many_share_a_commit(database: Database) -> None:
    known, commits = Deliveries(database), 0
    write = database.write

    async def counted(job: Any) -> Any:
        nonlocal commits
        commits += 1
        return await write(job)

    database.write = counted  # type: ignore[method-assign]
    found = await asyncio.gather(*(known.begin(delivery(number)) for number in range(100)))
    assert all(one.fresh and not one.stored for one in found)
    assert len(on_disk(database)) == 200
    assert commits <= 3


async def test_a_repetition_knows_at_once_that_the_event_is_stored_under_either_key(database: Database) -> None:
    known, first = Deliveries(database), delivery(1)
    known.stored(first, await known.begin(first))
    for again in (first, delivery(1, signed=7), delivery(9, signed=1)):
        found = await known.begin(again)
        assert (found.event_id, found.stored, found.fresh) == ("gh:1", True, False)
    known.stored(delivery(9, signed=1), found)
    assert (await known.begin(delivery(9, signed=8))).event_id == "gh:1"  # by a key that came later
    assert (await known.begin(delivery(1, source="other"))).fresh


async def test_two_alike_at_the_same_moment_are_one(database: Database) -> None:
    known = Deliveries(database)
    found = await asyncio.gather(*(known.begin(delivery(1)) for _ in range(5)))
    assert [one.fresh for one in found] == [True, False, False, False, False]
    assert {one.event_id for one in found} == {"gh:1"}


async def test_what_is_stored_is_written_down_a_moment_later_without_another_delivery(database: Database) -> None:
    known, first = Deliveries(database), delivery(1)
    runs = asyncio.create_task(known.run())
    try:
        known.stored(first, await known.begin(first))
        deadline = time.monotonic() + 10
        while [one[2] for one in on_disk(database)] != [1, 1]:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
    finally:
        runs.cancel()
        await asyncio.gather(runs, return_exceptions=True)


async def test_a_database_that_is_full_answers_all_and_forgets_nothing(database: Database) -> None:
    known, first = Deliveries(database), delivery(1)
    known.stored(first, await known.begin(first))

    def full(db: sqlite3.Connection) -> None:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")

    def enough(db: sqlite3.Connection) -> None:
        db.execute("PRAGMA max_page_count = 1000000").fetchall()

    await database.write(full)
    database.write_quickly(full)  # the limit is each connection's own
    many = [known.begin(delivery(number)) for number in range(1000, 6000)]
    found = await asyncio.gather(*many, return_exceptions=True)
    assert any(isinstance(one, Unavailable) for one in found)
    await database.write(enough)
    database.write_quickly(enough)
    assert (await known.begin(first)).stored
    assert (await known.begin(delivery(7))).fresh


async def test_all_that_come_at_once_are_noted_at_once_and_no_kill_undoes_it(database: Database) -> None:
    known, first = Deliveries(database), delivery(1)
    database.submit = None  # type: ignore[assignment,method-assign]
    quickly, commits = database.write_quickly, []
    database.write_quickly = lambda job: (commits.append(1), quickly(job))[1]  # type: ignore[func-returns-value,method-assign]
    found = await asyncio.gather(*(known.begin(delivery(number)) for number in range(1, 301)))
    assert all(one.fresh for one in found)
    assert len(on_disk(database)) == 600  # as another process sees it
    assert len(commits) == 2  # with 256 in one
    again = await known.begin(first)
    assert (again.fresh, again.stored) == (False, False)
    known.stored(first, again)
    assert (await known.begin(first)).stored


async def test_while_somebody_writes_they_wait_behind_him(database: Database) -> None:
    known = Deliveries(database)
    with sqlite3.connect(database.path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        assert database.write_quickly(lambda db: 1) is None
        waiting = [asyncio.create_task(known.begin(delivery(number))) for number in range(2)]
        await asyncio.sleep(0.05)
        waiting.append(asyncio.create_task(known.begin(delivery(2))))
        await asyncio.sleep(0.05)
        assert not any(one.done() for one in waiting)
        other.execute("COMMIT")
    assert all(one.fresh for one in await asyncio.gather(*waiting))
    assert len(on_disk(database)) == 6


async def test_a_mistake_in_a_note_is_heard_by_whoever_waits_and_by_nobody_later(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Deliveries(database)
    with monkeypatch.context() as patch:
        patch.setattr(rows, "begin", lambda db, one: 1 / 0)
        found = await asyncio.gather(*(known.begin(delivery(number)) for number in range(3)), return_exceptions=True)
    assert [type(one) for one in found] == [ZeroDivisionError] * 3
    assert (await known.begin(delivery(1))).fresh


async def test_a_mistake_in_a_quick_write_keeps_nobody_else_from_writing(database: Database) -> None:
    def mistake(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO source_signers VALUES (1, 'gh', x'00')")
        raise ValueError("here")

    with pytest.raises(ValueError, match="here"):
        database.write_quickly(mistake)
    (count,) = await database.write(lambda db: db.execute("SELECT count(*) FROM source_signers").fetchone())
    assert count == 0


async def test_who_waits_no_longer_costs_nobody_else(database: Database) -> None:
    known = Deliveries(database)
    tasks = [asyncio.create_task(known.begin(delivery(number))) for number in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in found[::2])
    assert all(not isinstance(one, BaseException) and one.fresh for one in found[1::2])


async def test_a_source_that_is_gone_begins_anew(database: Database) -> None:
    known, first = Deliveries(database), delivery(1)
    known.stored(first, await known.begin(first))
    await known.forget("gh")
    assert (await known.begin(first)).fresh


async def test_of_one_source_the_oldest_go(database: Database) -> None:
    def job(db: sqlite3.Connection) -> None:
        for number in range(2000):
            now = 1_000_000 + number
            one = NewDelivery("gh", [(f"d:{number}", now + 1e6)], f"gh:{number}", "agent.events.x", now)
            rows.begin(db, one)
        rows.make_room(db, "gh", 100)

    await database.write(job)
    kept = on_disk(database)
    assert 50 <= len(kept) <= 100
    assert ("d:1999", "gh:1999", 0) in kept
