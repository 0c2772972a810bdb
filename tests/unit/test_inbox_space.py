"""What the inbox takes on disk: contents go with the receipt, receipts with the limit, and the room goes back."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from openclaw_nats.errors import SettingsError
from openclaw_nats.inbound.inbox_space import InboxSpace
from openclaw_nats.inbound.meters import InboundMeters
from openclaw_nats.ports import Receipt
from openclaw_nats.settings import load
from openclaw_nats.storage import inbox, listing
from openclaw_nats.storage.database import Database, migrations
from openclaw_nats.storage.listed import Filters
from openclaw_nats.storage.rows import Dispatch, NewDelivery

MIB = 1 << 20
KEEP = 30 * 86400.0
ENDS = ("delivered", "dead", "dropped", "expired")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    one = Database(tmp_path / "sidecar.db")
    yield one
    one.close()


def keeper(database: Database, max_bytes: int, now: float = 100.0) -> InboxSpace:
    return InboxSpace(database, InboundMeters(CollectorRegistry()), max_bytes, KEEP, clock=lambda: now)


def new(number: int, route: int = 1, size: int = 1000, state: str = "pending") -> NewDelivery:
    text = f"text of {number} ".encode() + b"x" * size
    names = (f"{number}@1", f"e{number}", route, "r", "agent.events.a", "", number, state, "why", "")
    return NewDelivery(*names, 5, 0, size, 1.0, text)


def sent(db: sqlite3.Connection, number: int, body: str) -> Dispatch:
    place = f"d{number:06}"
    dispatch = Dispatch(place, 1, "r", "", "{}", body, 1, 5, 0, number, 1.0, attempts=1, deliveries=[number])
    inbox.begin(db, dispatch, 1.0, turn=False)
    return dispatch


def fill(db: sqlite3.Connection, states: list[str], size: int = 1000) -> None:
    """Deliveries in these states, in this order."""
    for number, state in enumerate(states, 1):
        inbox.add(db, [new(number, size=size)], 1.0)
        if state == "pending":
            continue
        if state in ("dropped", "expired"):
            inbox.end(db, [number], state, "why", 1.0)
            continue
        dispatch = sent(db, number, f"body of {number} " + "x" * size)
        if state == "delivered":
            inbox.deliver(db, dispatch, Receipt("hooks", "", "ok"), 1.0)
        elif state == "dead":
            inbox.bury(db, dispatch, "why", 1.0)
            inbox.tell(db, [number])
        elif state == "failed":
            inbox.fail(db, dispatch, "why", 1.0)


def left(db: sqlite3.Connection, state: str) -> list[int]:
    return [row[0] for row in db.execute("SELECT id FROM deliveries WHERE state = ? ORDER BY id", (state,))]


def contents(db: sqlite3.Connection) -> set[str]:
    return {row[0] for row in db.execute("SELECT place FROM events")}


async def test_a_content_is_kept_as_long_as_a_delivery_needs_it(database: Database) -> None:
    await database.write(
        lambda db: fill(db, ["delivered", "dead", "dropped", "expired", "failed", "pending", "sending"])
    )
    assert await database.read(contents) == {"2@1", "5@1", "6@1", "7@1"}
    await database.write(lambda db: inbox.end_dispatch(db, "d000005", "dropped", "why", 2.0))
    await database.write(lambda db: inbox.end(db, [6], "expired", "why", 2.0))
    await database.write(lambda db: inbox.end(db, [2], "dropped", "why", 2.0, "dead"))
    assert await database.read(contents) == {"7@1"}


async def test_a_content_stays_for_the_other_route_that_has_it_dead(database: Database) -> None:
    await database.write(lambda db: inbox.add(db, [new(1, 1), new(1, 2), new(2, 1, state="expired")], 1.0))
    await database.write(lambda db: inbox.deliver(db, sent(db, 1, "b"), Receipt("hooks", "", "ok"), 1.0))
    assert await database.read(contents) == {"1@1"}
    await database.write(lambda db: inbox.end(db, [2], "dead", "why", 1.0))
    assert len(await database.write(lambda db: inbox.revive(db, [2], "again", 2.0))) == 1
    await database.write(lambda db: inbox.end(db, [2], "dropped", "why", 3.0))
    assert await database.read(contents) == set()


async def test_an_event_that_comes_once_more_after_its_receipt_leaves_no_content(database: Database) -> None:
    await database.write(lambda db: inbox.add(db, [new(1)], 1.0))
    await database.write(lambda db: inbox.deliver(db, sent(db, 1, "b"), Receipt("hooks", "", "ok"), 1.0))
    assert await database.write(lambda db: inbox.add(db, [new(1)], 2.0)) == [None]
    assert await database.read(contents) == set()
    assert await database.write(lambda db: inbox.add(db, [new(1), new(1, 2)], 2.0)) != [None, None]
    assert await database.read(contents) == {"1@1"}


async def test_what_was_sent_is_found_by_its_words_when_the_content_has_gone(database: Database) -> None:
    await database.write(lambda db: fill(db, ["delivered", "dead", "delivered"]))
    for words, found in (("BODY of 1", [1]), ("text of 2", [2]), ("of 3", [3])):
        filters = Filters(states=ENDS, search=words)
        assert await database.read(lambda db, one=filters: listing.numbers(db, one, 9)) == found


async def test_the_oldest_receipts_go_first_dead_letters_last_and_never_what_waits(database: Database) -> None:
    kinds = ["pending", "dead", "failed", "dropped"] + ["delivered"] * 7
    await database.write(lambda db: fill(db, kinds * 800, 1000))
    one = keeper(database, 16 * MIB)
    before = await database.read(lambda db: {state: left(db, state) for state in (*ENDS, "pending", "failed")})
    for _ in range(20):
        await one.tend()
    after = await database.read(lambda db: {state: left(db, state) for state in (*ENDS, "pending", "failed")})
    assert one.room.on_disk <= 16 * MIB
    assert after["pending"] == before["pending"]
    assert after["failed"] == before["failed"]
    assert after["dead"] == before["dead"]
    assert 0 < len(after["delivered"]) < len(before["delivered"])
    assert after["delivered"] == before["delivered"][-len(after["delivered"]) :]
    assert one.problem == ""
    integrity = await database.read(lambda db: db.execute("PRAGMA integrity_check").fetchone()[0])
    assert integrity == "ok"


async def test_dead_letters_go_when_no_receipt_is_left_but_not_before_others_can_see_them(database: Database) -> None:
    await database.write(lambda db: fill(db, ["dead"] * 3000 + ["delivered"] * 100, 6000))
    await database.write(lambda db: db.execute("UPDATE deliveries SET told = 0 WHERE id <= 200"))
    one = keeper(database, 16 * MIB)
    for _ in range(20):
        await one.tend()
    assert one.room.on_disk <= 16 * MIB
    assert await database.read(lambda db: left(db, "delivered")) == []
    letters = await database.read(lambda db: left(db, "dead"))
    assert letters[:200] == list(range(1, 201))
    assert letters[200:] == list(range(3001 - len(letters[200:]), 3001))


async def test_what_waits_alone_beyond_the_limit_is_told_and_kept(database: Database) -> None:
    await database.write(lambda db: fill(db, ["pending"] * 3000 + ["delivered"] * 10, 8000))
    one = keeper(database, 16 * MIB)
    for _ in range(3):
        await one.tend()
    assert len(await database.read(lambda db: left(db, "pending"))) == 3000
    assert "what waits takes" in one.problem
    assert "inbox.max_bytes is 16MiB" in one.problem
    await database.write(lambda db: inbox.end(db, range(1, 2001), "dropped", "why", 1.0))
    for _ in range(20):
        await one.tend()
    assert one.problem == ""
    assert one.room.on_disk <= 16 * MIB


async def test_what_waits_is_told_before_it_takes_all_and_receipts_are_not(database: Database) -> None:
    await database.write(lambda db: fill(db, ["delivered"] * 2000, 6000))
    one = keeper(database, 16 * MIB)
    for _ in range(10):
        await one.tend()
    assert one.report().note == ""
    await database.write(lambda db: inbox.add(db, [new(number, size=6000) for number in range(5000, 6850)], 1.0))
    await database.write(lambda db: inbox.add(db, [new(number, 2, size=6000) for number in range(5000, 5100)], 1.0))
    for _ in range(10):
        await one.tend()
    assert one.problem == ""
    assert one.report().note.startswith("what waits takes 11 MiB of the 16MiB of inbox.max_bytes")
    await database.write(lambda db: inbox.end(db, left(db, "pending")[:1000], "dropped", "why", 1.0))
    await one.tend()
    assert one.report().note == ""


async def test_dispatches_that_carry_nothing_any_more_go_too(database: Database) -> None:
    await database.write(lambda db: fill(db, ["dead"] * 2000, 16_000))
    await database.write(lambda db: inbox.revive(db, range(1, 2001), "again", 2.0))
    await database.write(lambda db: inbox.end(db, range(1, 1990), "dropped", "why", 3.0))
    one = keeper(database, 16 * MIB)
    for _ in range(10):
        await one.tend()
    assert one.room.on_disk <= 16 * MIB
    assert len(await database.read(lambda db: left(db, "pending"))) == 11


async def test_what_is_too_old_is_forgotten_whatever_the_size(database: Database) -> None:
    await database.write(lambda db: fill(db, ["delivered", "dead", "pending"]))
    await keeper(database, MIB * 100, now=KEEP + 2).tend()
    assert await database.read(lambda db: [left(db, state) for state in (*ENDS, "pending")]) == [[], [], [], [], [3]]
    assert await database.read(lambda db: db.execute("SELECT count(*) FROM dispatches").fetchone()[0]) == 0
    assert await database.read(lambda db: db.execute("SELECT count(*) FROM changes").fetchone()[0]) == 0


def of_version_0_1_0(path: Path, events: int, size: int) -> None:
    """A database as 0.1.0 made it: it can't give room back, and keeps all contents."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        for step in migrations()[:2]:
            db.executescript(step.read_text())
        db.execute("PRAGMA user_version = 2")
        for number in range(1, events + 1):
            state = ("delivered", "pending", "dead", "delivered")[number % 4]
            db.execute("INSERT INTO events VALUES (?, ?)", (f"e{number}", b"x" * size))
            db.execute(
                "INSERT INTO deliveries (event_id, route_id, route, subject, sequence, state, priority, size, "
                "stored_at, arrived_at, changed_at, dispatch_id, told) "
                "VALUES (?, 1, 'r', 's', ?, ?, 5, 1, ?, 2, 2, ?, 1)",
                (f"e{number}", number, state, float(number), f"d{number}" if state == "delivered" else None),
            )
        db.commit()


@contextlib.contextmanager
def opened_of_0_1_0(folder: Path, count: int, size: int) -> Iterator[Database]:
    """A database that version 0.1.0 has filled, opened by this one."""
    path = folder / "sidecar.db"
    of_version_0_1_0(path, count, size)
    database = Database(path)
    try:
        yield database
    finally:
        database.close()


async def test_a_small_database_of_0_1_0_keeps_its_rows_and_gives_room_back(tmp_path: Path) -> None:
    with opened_of_0_1_0(tmp_path, 4000, 3000) as database:
        one = keeper(database, 100 * MIB)
        for _ in range(5):
            await one.tend()
        assert one.room.gives_back
        assert one.room.on_disk < 9 * MIB  # of 12 MiB of contents half is needed
        assert len(await database.read(contents)) == 2000
        assert len(await database.read(lambda db: left(db, "delivered"))) == 2000
        assert len(await database.write(lambda db: inbox.revive(db, [2, 6], "again", 2.0))) == 2


async def test_a_large_database_of_0_1_0_is_rewritten_while_it_is_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openclaw_nats.storage.database._CONVERTED_AT_START", 0)
    with opened_of_0_1_0(tmp_path, 4000, 3000) as database:
        one = keeper(database, 100 * MIB)
        writing = True

        async def write() -> int:
            count = 0
            while writing:
                await database.write(lambda db: inbox.set_fact(db, "n", "1"))
                count += 1
            return count

        other = asyncio.create_task(write())
        for _ in range(5):
            await one.tend()
        writing = False
        assert await other > 0
        assert one.room.gives_back
        assert one.note == ""
        assert one.room.on_disk < 9 * MIB
        assert await database.read(lambda db: db.execute("PRAGMA integrity_check").fetchone()[0]) == "ok"


async def test_without_room_for_rewriting_an_old_database_is_used_as_it_is_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openclaw_nats.storage.database._CONVERTED_AT_START", 0)
    monkeypatch.setattr("openclaw_nats.inbound.inbox_space._free", lambda folder: 1000)
    with opened_of_0_1_0(tmp_path, 400, 3000) as database:
        one = keeper(database, 100 * MIB)
        for _ in range(3):
            await one.tend()
        assert "needs" in one.note
        assert len(await database.read(lambda db: left(db, "pending"))) == 100


@pytest.mark.parametrize("value", ["1MiB", "-1", "lots", "0"])
def test_a_limit_that_is_none_is_refused(tmp_path: Path, value: str) -> None:
    (tmp_path / "config.toml").write_text(f'[inbox]\nmax_bytes = "{value}"\n')
    with pytest.raises(SettingsError, match=r"inbox\.max_bytes"):
        load(tmp_path, {})


async def test_work_that_needs_the_database_alone_is_done_whatever_stands_beside_it_in_the_queue(
    database: Database,
) -> None:
    async with asyncio.timeout(10):
        await asyncio.gather(*(database.checkpoint() for _ in range(20)), *(database.give_back(1) for _ in range(20)))
