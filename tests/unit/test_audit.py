"""The audit log on a real database: what is recorded, and that any change of it is noticed."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from openclaw_nats.audit.act import MAX_VALUE, Act
from openclaw_nats.audit.acting import BUS, acting
from openclaw_nats.audit.trail import AuditTrail
from openclaw_nats.contract.audit import AuditRecord
from openclaw_nats.errors import SettingsError
from openclaw_nats.service.audit_files import HEAD
from openclaw_nats.service.head_file import DigestFile
from openclaw_nats.service.identity_key import secret_key
from openclaw_nats.storage import inbox
from openclaw_nats.storage.database import Database

KEY = b"k" * 32
LARGE = 1 << 20


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    one = Database(tmp_path / "sidecar.db")
    yield one
    one.close()


@pytest.fixture
def trail(database: Database, tmp_path: Path) -> AuditTrail:
    return AuditTrail(database, KEY, DigestFile(tmp_path / HEAD), max_bytes=LARGE)


async def records(trail: AuditTrail, **more: object) -> list[AuditRecord]:
    found = {"since": None, "search": "", "cursor": None, "limit": 1000, **more}
    return await trail.records(**found)  # type: ignore[arg-type]


async def problem(trail: AuditTrail) -> str:
    state = await trail.state()
    assert state.sound is (not state.problem)
    return state.problem


async def test_an_act_and_its_record_are_one_transaction(trail: AuditTrail, database: Database) -> None:
    def job(db: sqlite3.Connection) -> str:
        inbox.set_fact(db, "x", "1")
        return "answer"

    with acting("dashboard 1a"):
        assert await trail.write(job, Act("routes.add", "r", None, {"pattern": "a"})) == "answer"

    def fails(db: sqlite3.Connection) -> None:
        inbox.set_fact(db, "x", "2")
        raise KeyError("no")

    with pytest.raises(KeyError):
        await trail.write(fails, Act("routes.change", "r"))
    assert await trail.write(lambda db: 7, lambda found: None) == 7, "nothing was done: there is nothing to record"
    [one] = await records(trail)
    assert (one.who, one.act, one.about, one.stage) == ("dashboard 1a", "routes.add", "r", "done")
    assert one.after == {"pattern": "a"}
    assert await database.read(lambda db: inbox.fact(db, "x")) == "1"
    assert await problem(trail) == ""


async def test_what_is_not_in_the_database_has_a_record_before_and_one_after(trail: AuditTrail) -> None:
    async with trail.around(Act("cron.add", "j", None, {"cron": "@daily"})):
        [begun] = await records(trail)
        assert begun.stage == "begun"
    with pytest.raises(OSError, match="gone"):
        async with trail.around(Act("cron.remove", "j", {"cron": "@daily"})):
            raise OSError("NATS is gone")
    found = [(one.stage, one.begun, one.reason) for one in reversed(await records(trail))]
    assert found == [("begun", 0, ""), ("ended", 1, ""), ("begun", 0, ""), ("failed", 3, "NATS is gone")]
    assert {one.who for one in await records(trail)} == {BUS}


async def test_a_record_has_what_differs_without_secrets_and_stays_small(trail: AuditTrail) -> None:
    before = {"same": 1, "url": "https://a:hunter2@h/x?token=abc", "secret": "s3cret", "gone": True}
    after = {"same": 1, "url": "https://b:hunter3@h/x", "secret": "other", "text": "x" * MAX_VALUE}
    await trail.note(Act("routes.change", "http://u:hunter4@h", before, after, reason="at https://u:hunter5@h"))
    await trail.note(Act("routes.change", "half", {"text": "\udc80"}, {"text": "ok"}))
    second, first = await records(trail)
    assert first.before == {"url": "https://a:***@h/x?token=***", "secret": "***", "gone": True}
    assert isinstance(first.after, dict)
    assert first.after["bytes"] > MAX_VALUE
    assert len(first.after["begins"]) == 500
    assert not any(word in repr(first) for word in ("hunter", "s3cret", "other"))
    assert second.before == {"text": "?"}


Tamper = Callable[[sqlite3.Connection], object]
CHANGES: dict[str, tuple[Tamper, str]] = {
    "a word is changed": (
        lambda db: db.execute("UPDATE audit SET record = replace(record, 'r4', 'rX') WHERE number = 4"),
        "record 4 was changed",
    ),
    "one is removed in the middle": (
        lambda db: db.execute("DELETE FROM audit WHERE number = 5"),
        "between the records 4 and 6 is missing",
    ),
    "the first is removed": (lambda db: db.execute("DELETE FROM audit WHERE number = 1"), "before record 2 is missing"),
    "the last ones are cut off": (
        lambda db: db.execute("DELETE FROM audit WHERE number > 7"),
        "newest records are missing: 8 to 9",
    ),
    "all are removed": (lambda db: db.execute("DELETE FROM audit"), "newest records are missing: 1 to 9"),
    "two change places": (
        lambda db: (
            db.execute("UPDATE audit SET number = 99 WHERE number = 3"),
            db.execute("UPDATE audit SET number = 3 WHERE number = 4"),
            db.execute("UPDATE audit SET number = 4 WHERE number = 99"),
        ),
        "record 3 does not follow",
    ),
    "one is removed and those behind it move up": (
        lambda db: (
            db.execute("DELETE FROM audit WHERE number = 5"),
            db.execute("UPDATE audit SET number = number - 1 WHERE number > 5"),
        ),
        "record 5 does not follow",
    ),
    "it is no JSON any more": (
        lambda db: db.execute("UPDATE audit SET record = 'x' WHERE number = 9"),
        "record 9 was changed",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_whoever_edits_the_database_is_noticed(name: str, trail: AuditTrail, database: Database) -> None:
    for number in range(1, 10):
        await trail.note(Act("routes.add", f"r{number}"))
    assert await problem(trail) == ""
    change, said = CHANGES[name]
    await database.write(change)
    assert said in await problem(trail)
    await trail.note(Act("routes.add", "later"))
    assert await problem(trail) != "", "what comes later does not hide it"
    assert len(await records(trail)) > 0, "what is there can still be read"


async def test_without_the_key_nobody_chains_it_again(trail: AuditTrail, database: Database, tmp_path: Path) -> None:
    await trail.note(Act("routes.add", "mine"))
    (tmp_path / "thief").mkdir()
    with_other_key = AuditTrail(database, b"x" * 32, DigestFile(tmp_path / "thief" / HEAD), max_bytes=LARGE)
    await with_other_key.note(Act("routes.add", "forged"))
    assert "record 2 was changed, or was not written by this installation" in await problem(trail)


async def test_the_head_is_behind_after_a_kill_and_follows(database: Database, tmp_path: Path) -> None:
    one = AuditTrail(database, KEY, DigestFile(tmp_path / HEAD), max_bytes=LARGE)
    await one.note(Act("routes.add", "first"))
    old = (tmp_path / HEAD).read_text()
    await one.note(Act("routes.add", "second"))
    (tmp_path / HEAD).write_text(old)  # killed between the commit and the head
    assert await problem(one) == ""
    again = AuditTrail(database, KEY, DigestFile(tmp_path / HEAD), max_bytes=LARGE)
    assert (tmp_path / HEAD).read_text().startswith("2 ")
    await database.write(lambda db: db.execute("DELETE FROM audit WHERE number = 2"))
    assert "missing: 2 to 2" in await problem(again)
    (tmp_path / HEAD).unlink()
    assert "audit-head is missing" in await problem(again)


async def test_the_oldest_go_with_a_record_that_says_so(database: Database, tmp_path: Path) -> None:
    trail = AuditTrail(database, KEY, DigestFile(tmp_path / HEAD), max_bytes=20_000, max_records=50)
    await asyncio.gather(*(trail.note(Act("routes.add", f"r{number}")) for number in range(120)))
    for number in range(30):
        await trail.note(Act("routes.change", "r", None, {"text": f"{number}" + "x" * 1000}))
        state = await trail.state()
        assert state.sound, state.problem
        assert state.records <= 51
        assert state.bytes <= 21_500
    found = await records(trail)
    assert any(one.act == "audit.pruned" and one.who == BUS for one in found)
    await database.write(lambda db: db.execute("DELETE FROM audit WHERE number = (SELECT min(number) FROM audit)"))
    assert "is missing" in await problem(trail)


async def test_lists_are_read_in_pages_by_text_and_time(trail: AuditTrail) -> None:
    for number in range(10):
        await trail.note(Act("routes.add", f"r{number}"))
    assert [one.number for one in await records(trail, limit=3)] == [10, 9, 8]
    assert [one.number for one in await records(trail, limit=3, cursor=8)] == [7, 6, 5]
    assert [one.about for one in await records(trail, search="R7")] == ["r7"]
    assert await records(trail, since=1e12) == []


def test_a_key_file_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    key = secret_key(tmp_path, "audit-key", "")
    assert key == secret_key(tmp_path, "audit-key", "")
    assert (tmp_path / "audit-key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "audit-key").write_text("short")
    with pytest.raises(SettingsError, match="audit-key does not hold a key"):
        secret_key(tmp_path, "audit-key", "")


def test_a_command_writes_while_nothing_runs(database: Database, tmp_path: Path) -> None:
    trail = AuditTrail(database, KEY, DigestFile(tmp_path / HEAD), max_bytes=LARGE)
    assert trail.note_now(Act("config.set", "log.level", "info", "debug"), "the command line") == 1
    text = database.now(lambda db: db.execute("SELECT record FROM audit").fetchone()[0])
    found = json.loads(text)
    assert (found["who"], found["before"], found["after"]) == ("the command line", "info", "debug")
