"""The database on a real file: group commit, isolation of failures, migrations, a full disk."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from openclaw_nats.errors import SettingsError, Unavailable
from openclaw_nats.storage import inbox, routes
from openclaw_nats.storage.database import Database, migrations
from openclaw_nats.storage.rows import NewDelivery


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    one = Database(tmp_path / "sidecar.db")
    yield one
    one.close()


def delivery(event: str, route: int = 1, size: int = 10) -> NewDelivery:
    return NewDelivery(event, route, "r", "agent.events.a", "", 1, "pending", "", "", 5, 0, size, 0.0, b"x" * size)


async def test_what_was_answered_is_in_the_file(database: Database) -> None:
    numbers = await asyncio.gather(
        *(database.write(lambda db, n=n: inbox.add(db, [delivery(f"e{n}")], 1.0)) for n in range(200))
    )
    assert len({one[0] for one in numbers}) == 200
    other = sqlite3.connect(database.path)
    assert other.execute("SELECT count(*) FROM deliveries").fetchone()[0] == 200
    other.close()
    assert database.path.stat().st_mode & 0o777 == 0o600


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
    assert await database.read(lambda db: inbox.turn_times(db, 0)) == [(2.0, 2), (2.0, 2)]


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


def test_migrations_are_numbered_without_gaps() -> None:
    numbers = [int(path.name.split("_")[0]) for path in migrations()]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_a_full_disk_keeps_nothing_of_a_write_and_heals(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root or user namespaces (dev.py test uses them where it can)")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], check=True)
    database = Database(disk / "sidecar.db")
    try:
        filler = disk / "filler"
        filler.write_bytes(b"x" * 1_500_000)
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
    assert await database.write(lambda db: inbox.purge(db, 10.0, 10.0)) == 1
    assert set(await database.read(lambda db: inbox.documents(db, ["old", "open"]))) == {"open"}


async def test_in_a_new_stream_ids_made_of_sequences_begin_anew(database: Database) -> None:
    def both(db: sqlite3.Connection) -> list[str]:
        kept = [row[0] for row in db.execute("SELECT event_id FROM deliveries ORDER BY id")]
        assert kept == [row[0] for row in db.execute("SELECT id FROM events ORDER BY rowid")]
        return kept

    old = [delivery("agent_events:1"), delivery("agent_events:2"), delivery("of-its-own")]
    await database.write(lambda db: inbox.add(db, old, 1.0))
    await database.write(lambda db: inbox.end(db, [1, 3], "dropped", "why", 2.0))
    assert not await database.write(lambda db: routes.follow_stream(db, "2026-01-01"))
    assert not await database.write(lambda db: routes.follow_stream(db, "2026-01-01"))
    assert await database.write(lambda db: routes.follow_stream(db, "2026-02-02"))
    assert await database.read(both) == ["agent_events:1@2026-01-01", "agent_events:2", "of-its-own"]
    assert None not in await database.write(lambda db: inbox.add(db, [delivery("agent_events:1")], 3.0))
