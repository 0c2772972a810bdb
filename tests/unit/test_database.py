"""The database on a real file: group commit, isolation of failures, migrations, a full disk."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from openclaw_nats.errors import SettingsError, Unavailable
from openclaw_nats.events.identity import place_of
from openclaw_nats.storage import inbox, listing, routes, space
from openclaw_nats.storage.database import Database, migrations
from openclaw_nats.storage.rows import NewDelivery


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    one = Database(tmp_path / "sidecar.db")
    yield one
    one.close()


def delivery(event: str, route: int = 1, size: int = 10, place: str = "", document: bytes = b"") -> NewDelivery:
    body = document or b"x" * size
    return NewDelivery(
        *(place or f"at {event}", event, route, "r", "agent.events.a", "", 1, "pending", "", "", 5, 0, size, 0.0, body)
    )


async def test_what_was_answered_is_in_the_file(database: Database) -> None:
    numbers = await asyncio.gather(
        *(database.write(lambda db, n=n: inbox.add(db, [delivery(f"e{n}")], 1.0)) for n in range(200))
    )
    assert len({one[0] for one in numbers}) == 200
    other = sqlite3.connect(database.path)
    assert other.execute("SELECT count(*) FROM deliveries").fetchone()[0] == 200
    other.close()
    assert database.path.stat().st_mode & 0o777 == 0o600


async def test_what_is_done_at_once_waits_for_a_write_that_is_under_way_and_is_whole(database: Database) -> None:
    """Also while the writer is in the middle of a transaction, and in another process."""
    begun, end = threading.Event(), threading.Event()

    def slow(db: sqlite3.Connection) -> None:
        inbox.set_fact(db, "counter", "1")
        begun.set()
        end.wait(10)

    writing = asyncio.ensure_future(database.write(slow))
    await asyncio.to_thread(begun.wait, 10)
    added = asyncio.ensure_future(asyncio.to_thread(database.now, _one_more))
    await asyncio.sleep(0.1)
    assert not added.done()
    end.set()
    await writing
    assert await added == 2
    other = Database(database.path)
    at_once = [asyncio.to_thread(one.now, _one_more) for one in (database, other)]
    counted = [database.write(_one_more) for _ in range(20)]
    found = [*await asyncio.gather(*at_once), *await asyncio.gather(*counted)]
    assert sorted(found) == list(range(3, 25))

    def fails(db: sqlite3.Connection) -> None:
        inbox.set_fact(db, "counter", "99")
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  (ours, with no words)
        other.now(fails)
    assert other.now(_one_more) == 25
    other.close()


def _one_more(db: sqlite3.Connection) -> int:
    number = int(inbox.fact(db, "counter")) + 1
    time.sleep(0.002)
    inbox.set_fact(db, "counter", str(number))
    return number


async def test_the_insert_is_the_deduplication(database: Database) -> None:
    first = await database.write(lambda db: inbox.add(db, [delivery("e1", 1), delivery("e1", 2)], 1.0))
    again = await database.write(lambda db: inbox.add(db, [delivery("e1", 1), delivery("e1", 3)], 2.0))
    assert None not in first
    assert again[0] is None
    assert again[1] is not None


async def test_one_write_that_fails_does_not_take_others_along(database: Database) -> None:
    def bad(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO turns (at, route_id) VALUES (1, 1)")
        raise KeyError("mine")

    def good(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO turns (at, route_id) VALUES (2, 2)")

    results = await asyncio.gather(
        *(database.write(job) for job in (good, bad, good, bad)), database.write(bad), return_exceptions=True
    )
    assert [type(result) for result in results] == [type(None), KeyError, type(None), KeyError, KeyError]
    assert await database.read(lambda db: inbox.turn_times(db, 0)) == [(2.0, 2, False), (2.0, 2, False)]


async def test_a_newer_database_is_refused_politely(tmp_path: Path) -> None:
    path = tmp_path / "sidecar.db"
    Database(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 9999")
    db.close()
    with pytest.raises(SettingsError, match="newer openclaw-nats"):
        Database(path)


async def test_what_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "sidecar.db"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(SettingsError, match="can't be opened"):
        Database(path)


@pytest.mark.parametrize("what", ["cut in half", "a page", "the last page", "the first page"])
async def test_a_damaged_file_is_named_as_that_and_left_as_it_is(tmp_path: Path, what: str) -> None:
    path = tmp_path / "sidecar.db"
    database = Database(path)
    for number in range(200):
        await database.write(lambda db, number=number: inbox.add(db, [delivery(f"e{number}", size=2000)], 1.0))
    await asyncio.to_thread(database.close)
    good = path.read_bytes()
    pages = len(good) // 4096
    damaged = {
        "cut in half": good[: pages // 2 * 4096],
        "a page": good[: pages // 2 * 4096] + b"\xff" * 4096 + good[(pages // 2 + 1) * 4096 :],
        "the last page": good[:-4096] + b"\xff" * 4096,
        "the first page": b"\xff" * 4096 + good[4096:],
    }[what]
    path.write_bytes(damaged)
    with pytest.raises(SettingsError, match=r"can't be opened: .*(malformed|not a database)") as told:
        Database(path)
    assert "openclaw-nats restore" in told.value.hint
    assert path.read_bytes() == damaged
    path.write_bytes(good)
    again = Database(path)
    assert len(await again.read(inbox.waiting)) == 200
    await asyncio.to_thread(again.close)


async def test_a_file_that_another_program_holds_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openclaw_nats.storage.database._BUSY_SECONDS", 0.1)
    path = tmp_path / "sidecar.db"
    await asyncio.to_thread(Database(path).close)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(SettingsError, match="locked") as told:
        Database(path)
    other.close()
    assert "Another program has it open" in told.value.hint
    assert "moved away" not in told.value.hint.lower()
    path.unlink()
    path.mkdir()
    with pytest.raises(SettingsError, match="unable to open") as told:
        Database(path)
    assert "moved away" not in told.value.hint.lower()


def test_migrations_are_numbered_without_gaps() -> None:
    numbers = [int(path.name.split("_")[0]) for path in migrations()]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_a_full_disk_keeps_nothing_of_a_write_and_heals(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root or user namespaces (dev.py test uses them where it can)")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=True)
    database = Database(disk / "sidecar.db")
    try:
        filler = disk / "filler"
        filler.write_bytes(b"x" * (shutil.disk_usage(disk).free - 500_000))
        rows = [[delivery(f"e{number}", size=50_000)] for number in range(50)]
        writes = [database.write(lambda db, one=one: inbox.add(db, one, 1.0)) for one in rows]
        results = await asyncio.gather(*writes, return_exceptions=True)
        failed = [result for result in results if isinstance(result, Unavailable)]
        assert failed
        assert "can't be written" in str(failed[0])
        before = await database.read(lambda db: len(inbox.waiting(db)))
        assert database.last_error
        filler.unlink()
        await database.write(lambda db: inbox.add(db, [delivery("after", size=50_000)], 1.0))
        assert await database.read(lambda db: len(inbox.waiting(db))) == before + 1
        assert database.last_error == ""
    finally:
        database.close()
        subprocess.run(["umount", "-l", str(disk)], check=True)


async def test_purging_forgets_what_ended_and_keeps_what_is_open(database: Database) -> None:
    await database.write(lambda db: inbox.add(db, [delivery("old"), delivery("open")], 1.0))
    await database.write(lambda db: inbox.end(db, [1], "dropped", "why", 2.0))
    assert await database.write(lambda db: space.forget(db, space.ended_before(db, 10.0, 10))) == 1
    assert set(await database.read(lambda db: inbox.documents(db, ["at old", "at open"]))) == {"at open"}


async def test_one_id_may_name_several_events_each_with_its_own_content(database: Database) -> None:
    rows = [delivery("1", place=place_of(1, 10**18), document=b"A"), delivery("1", place=place_of(2, 10**18))]
    first, second = await database.write(lambda db: inbox.add(db, rows, 1.0))
    assert first is not None
    assert second is not None
    found = await database.read(lambda db: [listing.delivery(db, number) for number in (first, second)])
    assert [one.document for one in found if one] == [b"A", b"x" * 10]
    assert [one.id for one in (await database.read(lambda db: listing.of_events(db, ["1"])))["1"]] == [first, second]


async def test_the_same_sequence_in_a_stream_made_again_is_another_event(database: Database) -> None:
    moments = [10**18, 10**18 + 10**7]
    rows = [delivery("agent_events:1", place=place_of(1, moment)) for moment in moments]
    assert None not in await database.write(lambda db: inbox.add(db, rows, 1.0))
    assert await database.write(lambda db: inbox.add(db, rows, 2.0)) == [None, None]


OLD_EVENTS = (  # id, sequence, stored at, arrived at, state
    ("cron:a:1", 7, 1764130000.123456, 1764130000.2, "pending"),
    ("order-1", 8, 1764130001.5, 1764130001.6, "delivered"),
    ("redriven", 9, 1764130009.0, 1764130009.0, "pending"),
    ("agent_events:9", 9, 1764130009.0, 1764130009.0, "dead"),  # of another stream, redriven at the same moment
)


def old_database(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        for step in migrations()[:2]:
            db.executescript(step.read_text())
        for event, sequence, stored, arrived, state in OLD_EVENTS:
            db.execute("INSERT INTO events VALUES (?, ?)", (event, event.encode()))
            db.execute(
                "INSERT INTO deliveries (event_id, route_id, route, subject, sequence, state, priority, size, "
                "stored_at, arrived_at, changed_at) VALUES (?, 1, 'r', 'agent.events.a', ?, ?, 5, 1, ?, ?, 0)",
                (event, sequence, state, stored, arrived),
            )
        db.execute(
            "INSERT INTO deliveries SELECT 50, 'gone', 1, 'r', 's', '', 1, 'dead', '', '', 5, 0, 1, 1, 2, 3, NULL, 0"
        )
        db.execute("DELETE FROM deliveries WHERE id = 50")
        db.execute("INSERT INTO facts VALUES ('stream', 'of old')")
        db.execute("PRAGMA user_version = 2")


async def test_what_a_version_that_knew_events_by_id_left_is_kept_and_known_again(tmp_path: Path) -> None:
    old_database(tmp_path / "sidecar.db")
    database = Database(tmp_path / "sidecar.db")
    waiting = await database.read(inbox.waiting)
    assert [one.event_id for _, _, one in waiting] == ["cron:a:1", "redriven"]
    found = await database.read(lambda db: inbox.documents(db, [one.place for _, _, one in waiting]))
    assert sorted(found.values()) == [b"cron:a:1", b"redriven"]
    found = await database.read(lambda db: listing.delivery(db, 2))
    assert found is not None
    assert found.document == b"order-1"
    again = [
        replace(delivery(event, place=place_of(sequence, round(stored * 1e9))), sequence=sequence)
        for event, sequence, stored, _, _ in OLD_EVENTS
    ]
    again[2] = replace(again[2], place=place_of(9, 1))  # when it was stored is not known of a redriven one
    again[3] = replace(again[3], place=place_of(9, 2))
    assert await database.write(lambda db: inbox.add(db, again, 2.0)) == [None] * 4
    new = await database.write(lambda db: inbox.add(db, [delivery("new")], 2.0))
    assert (new[0] or 0) > 50  # the number of a forgotten delivery is not given again
    assert float(await database.read(lambda db: inbox.fact(db, inbox.PLAIN_IDS_UNTIL))) > 1.7e9
    await database.write(lambda db: routes.follow_stream(db, "another"))
    assert (await database.write(lambda db: inbox.add(db, again, 3.0)))[2:] != [None, None]  # sequences began again
    database.close()


async def test_a_new_installation_has_no_ids_of_before(database: Database) -> None:
    assert await database.read(lambda db: inbox.fact(db, inbox.PLAIN_IDS_UNTIL)) == ""
