"""The certificate on a real database and a stream in memory: whatever is changed afterwards is named."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import pytest

from openclaw_nats.contract.verify import Certificate, CertificateState, CertifiedDay
from openclaw_nats.errors import Conflict, Unavailable
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.origin import GATEWAY, OUTSIDE
from openclaw_nats.ports import StreamFacts
from openclaw_nats.reconcile.book import Book
from openclaw_nats.reconcile.certificates import Certificates
from openclaw_nats.reconcile.chain import MOST_ENTRIES
from openclaw_nats.reconcile.recorder import OTHER, OVERFLOW, Recorder
from openclaw_nats.reconcile.verifier import MOST_DIFFERENCES, Verifier
from openclaw_nats.service.certificate_parts import HEAD, CertificateHead
from openclaw_nats.storage import certificate as rows
from openclaw_nats.storage.database import Database

KEY = b"k" * 32
DAY = 86400.0
NOON = 1_795_867_200.0  # 2026-11-28, 12:00 UTC


@dataclass
class MemoryStream:
    """A stream that tests change behind the recorder's back."""

    messages: dict[int, StoredMessage] = field(default_factory=dict)
    created: str = "2026-11-01T00:00:00Z"
    last: int = 0
    now: float = NOON
    max_age: float = 7 * DAY
    max_bytes: int = 0
    fails_at: int = 0
    purged_to: int = 0

    def store(self, count: int = 1, subject: str = "agent.events.custom.x", **more: object) -> None:
        for _ in range(count):
            self.last += 1
            self.now += 0.001
            message = StoredMessage(self.last, subject, {"Nats-Msg-Id": f"m{self.last}"}, b"{}", int(self.now * 1e9), 0)
            self.messages[self.last] = replace(message, **more)

    def purge(self, through: int) -> None:
        self.messages = {number: one for number, one in self.messages.items() if number > through}
        self.purged_to = through

    def expire(self) -> None:
        limit = (self.now - self.max_age) * 1e9
        self.purge(max([number for number, one in self.messages.items() if one.time <= limit], default=0))

    async def facts(self) -> StreamFacts:
        first = min(self.messages, default=self.last + 1)
        size = len(self.messages) * 100
        count = len(self.messages)
        return StreamFacts(self.created, first, self.last, count, size, self.max_age, self.max_bytes, 0, self.now)

    async def read(self, after: int) -> AsyncIterator[StoredMessage]:
        for number in sorted(one for one in self.messages if one > after):
            if number == self.fails_at:
                raise Unavailable("NATS is away")
            yield self.messages[number]


class World:
    """One installation: database, head, stream."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = Database(folder / "sidecar.db")
        self.stream = MemoryStream()
        self.waiting = 0
        self.start()

    def start(self) -> None:
        self.book = Book(self.database, KEY, CertificateHead(self.folder))
        self.book.follow()
        self.recorder = Recorder(self.book, self.stream)
        self.verifier = Verifier(self.book, self.stream, self.recorder, lambda: self.waiting)

    async def record(self) -> None:
        await self.recorder.record()

    async def verify(self, since: float | None = None) -> Certificate:
        return await self.verifier.certificate(since, self.stream.now)

    async def sql(self, text: str) -> None:
        await self.database.write(lambda db: db.execute(text))

    async def links(self, kind: str | None = None) -> list[rows.LinkRow]:
        found = await self.database.read(lambda db: rows.after(db, 0, 100_000))
        return [one for one in found if kind in (None, one.kind)]

    async def days(self) -> list[CertifiedDay]:
        return [msgspec.json.decode(one.record, type=CertifiedDay) for one in await self.links("day")]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    one = World(tmp_path)
    yield one
    one.database.close()


def differences(found: Certificate) -> list[tuple[str, int, int]]:
    return [(one.what, one.first, one.last) for one in found.differences]


async def test_a_stream_that_nobody_touched_is_sound_and_counted(world: World) -> None:
    gateway = {"origin": GATEWAY, "believed": True}
    world.stream.store(2500)
    world.stream.store(3, "agent.events.tool.exec.completed", **gateway)
    world.stream.store(2, "agent.events.tool.exec.completed", origin=OUTSIDE, believed=False)
    world.waiting = 4
    found = await world.verify()
    assert (found.sound, found.checked, found.first, found.last) == (True, 2505, 1, 2505)
    assert {one.kind: one.stored for one in found.kinds} == {"custom": 2500, "tool": 5}
    assert (found.from_gateway, found.waiting, found.lost, found.emitted) == (3, 4, 0, 7)
    assert len(await world.links("events")) == 2505 // MOST_ENTRIES + 1
    world.stream.store(10)
    again = await world.verify()
    assert (again.sound, again.checked) == (True, 2515)
    assert (await world.verify(since=world.stream.now + 1)).checked == 0


async def test_what_the_spool_has_lost_is_counted_only_from_the_gateway_itself(world: World) -> None:
    body = b'{"specversion":"1.0","id":"1","source":"s","type":"t","subject":"agent.events.spool.overflow","data":%s}'
    for data, believed in (
        (b'{"dropped":7}', True),
        (b'{"dropped":9}', False),
        (b'{"dropped":-5}', True),
        (b"[]", True),
    ):
        world.stream.store(1, OVERFLOW, body=body % data, origin=GATEWAY, believed=believed)
    world.stream.store(1, OVERFLOW, body=b"no event", origin=GATEWAY, believed=True)
    assert (await world.verify()).lost == 7


CHANGES: dict[str, tuple[Callable[[MemoryStream], object], list[tuple[str, int, int]], int]] = {
    "one is removed": (lambda s: s.messages.pop(700), [("removed", 700, 700)], 1),
    "the newest is removed": (lambda s: s.messages.pop(3000), [("removed", 3000, 3000)], 1),
    "many are removed": (
        lambda s: [s.messages.pop(number) for number in range(900, 2101)],
        [("removed", 900, 2100)],
        1201,
    ),
    "the beginning is purged": (lambda s: s.purge(10), [("removed", 1, 10)], 10),
    "all are purged": (lambda s: s.purge(3000), [("removed", 1, 3000)], 3000),
    "a body is altered": (
        lambda s: s.messages.update({5: replace(s.messages[5], body=b'{"a":1}')}),
        [("altered", 5, 5)],
        1,
    ),
    "a subject is altered": (
        lambda s: s.messages.update({5: replace(s.messages[5], subject="agent.events.custom.y")}),
        [("altered", 5, 5)],
        1,
    ),
    "a header is altered": (
        lambda s: s.messages.update({5: replace(s.messages[5], headers={"Nats-Msg-Id": "other"})}),
        [("altered", 5, 5)],
        1,
    ),
    "a time is altered": (
        lambda s: s.messages.update({5: replace(s.messages[5], time=s.messages[5].time + 1)}),
        [("altered", 5, 5)],
        1,
    ),
    "two change places": (
        lambda s: s.messages.update({5: replace(s.messages[6], sequence=5), 6: replace(s.messages[5], sequence=6)}),
        [("altered", 5, 6)],
        2,
    ),
    "one is put where none was": (
        lambda s: s.messages.update({1500: replace(s.messages[5], sequence=1500)}),
        [("added", 1500, 1500)],
        1,
    ),
}


@pytest.mark.parametrize("what", CHANGES)
async def test_the_sequence_that_differs_is_named(world: World, what: str) -> None:
    change, expected, count = CHANGES[what]
    world.stream.store(3000)
    if what == "one is put where none was":
        del world.stream.messages[1500]
    await world.record()
    change(world.stream)
    found = await world.verify()
    assert (found.sound, differences(found), found.differing, found.problem) == (False, expected, count, "")


async def test_what_is_gone_by_age_or_to_make_room_is_no_alteration(world: World) -> None:
    world.stream.store(1200)
    await world.record()
    world.stream.now += 4 * DAY
    world.stream.store(1300)
    await world.record()
    world.stream.now += 3.5 * DAY
    world.stream.expire()
    found = await world.verify()
    assert (found.sound, found.expired, found.made_room) == (True, 1200, 0)
    world.stream.max_bytes = len(world.stream.messages) * 100
    world.stream.purge(1500)
    world.stream.store(300)
    found = await world.verify()
    assert (found.sound, found.expired, found.made_room) == (True, 1200, 300)
    del world.stream.messages[2000]
    assert differences(await world.verify()) == [("removed", 2000, 2000)]
    world.stream.max_bytes = 0
    assert differences(await world.verify()) == [("removed", 1201, 1500), ("removed", 2000, 2000)]


async def test_an_event_that_removes_itself_is_not_missed(world: World) -> None:
    world.stream.store(3)
    world.stream.store(1, headers={"Nats-TTL": "1s"})
    world.stream.store(3)
    assert (await world.verify()).checked == 6
    del world.stream.messages[4]
    found = await world.verify()
    assert (found.sound, found.checked) == (True, 6)


async def test_each_days_record_holds_the_day_before(world: World) -> None:
    for _ in range(3):
        world.stream.store(20)
        await world.record()
        world.stream.now += DAY
    world.stream.now += DAY
    await world.record()
    links, days = await world.links("day"), await world.days()
    assert [(one.day, one.stored, one.first, one.last) for one in days] == [
        ("2026-11-28", 20, 1, 20),
        ("2026-11-29", 20, 21, 40),
        ("2026-11-30", 20, 41, 60),
        ("2026-12-01", 0, 0, 0),
    ]
    assert [one.day_before for one in days] == ["0" * 64, *(one.digest for one in links[:3])]
    await world.record()
    assert len(await world.days()) == 4


async def test_a_day_that_is_over_takes_no_more_events_when_the_clock_goes_back(world: World) -> None:
    world.stream.store(5)
    await world.record()
    world.stream.now += DAY
    await world.record()
    world.stream.now -= DAY
    world.stream.store(5)
    await world.record()
    world.stream.now += 2 * DAY
    await world.record()
    assert [(one.day, one.stored) for one in await world.days()] == [("2026-11-28", 5), ("2026-11-29", 5)]
    assert (await world.verify()).sound


TAMPERING = {
    "a record is altered": (
        "UPDATE certificate_links SET record = replace(record, '\"stored\":5', '\"stored\":4') WHERE number = 2",
        "record 2 was changed",
    ),
    "an entry is altered": (
        "UPDATE certificate_links SET entries = zeroblob(60) WHERE number = 2",
        "record 2 was changed",
    ),
    "a sequence is altered": ("UPDATE certificate_links SET first = 2 WHERE number = 1", "record 1 was changed"),
    "one is removed": ("DELETE FROM certificate_links WHERE number = 3", "between the records 2 and 4"),
    "the first are removed": ("DELETE FROM certificate_links WHERE number < 3", "before record 3 is missing"),
    "the newest are removed": (
        "DELETE FROM certificate_links WHERE number > 4",
        "the newest records are missing: 5 to 6",
    ),
    "all are removed": ("DELETE FROM certificate_links", "the newest records are missing: 1 to 6"),
    "one is no JSON": ("UPDATE certificate_links SET record = 'x' WHERE number = 6", "record 6 was changed"),
}


@pytest.mark.parametrize("what", TAMPERING)
async def test_whoever_edits_the_database_is_noticed_then_and_later(world: World, what: str) -> None:
    for _ in range(6):
        world.stream.store(5)
        await world.record()
    assert (await world.verify()).sound
    sql, problem = TAMPERING[what]
    await world.sql(sql)
    chain = world.book.chain()
    chain.take(await world.links())
    chain.end()
    assert problem in chain.problem
    found = await world.verify()
    assert (found.sound, bool(found.problem)) == (False, True)
    world.stream.store(50)
    world.start()
    assert not (await world.verify()).sound


async def test_a_kill_in_the_middle_of_recording_repeats_from_the_last_link(world: World) -> None:
    world.stream.store(3500)
    world.stream.now += DAY
    world.stream.fails_at = 2600
    with pytest.raises(Unavailable):
        await world.record()
    assert len(await world.links("events")) == 2
    world.stream.fails_at = 0
    world.start()
    found = await world.verify()
    assert (found.sound, found.checked) == (True, 3500)
    assert [one.stored for one in await world.days()] == [3500]


async def test_a_kill_between_the_commit_and_the_head_is_no_problem(world: World) -> None:
    world.stream.store(5)
    await world.record()
    head = (world.folder / HEAD).read_text()
    world.stream.store(5)
    await world.record()
    (world.folder / HEAD).write_text(head)
    world.start()
    assert (await world.verify()).sound


async def test_another_stream_under_the_name_is_named_and_then_recorded(world: World) -> None:
    world.stream.store(10)
    await world.record()
    moment = world.stream.now
    world.stream.messages.clear()
    world.stream.last, world.stream.created = 0, "2026-11-28T13:00:00Z"
    world.stream.now += 2 * DAY
    world.stream.store(4)
    found = await world.verify()
    assert (found.sound, differences(found), found.checked) == (False, [("replaced", 1, 10)], 4)
    assert (await world.verify(since=moment)).differing == 10
    assert (await world.verify(since=world.stream.now + 60)).sound
    await world.record()
    assert len(await world.links("stream")) == 1


async def test_a_stream_that_was_put_back_is_named(world: World) -> None:
    world.stream.store(10)
    await world.record()
    for number in (8, 9, 10):
        del world.stream.messages[number]
    world.stream.last = 7
    assert differences(await world.verify()) == [("replaced", 1, 10)]


async def test_a_restored_stream_that_holds_the_same_goes_on(world: World) -> None:
    world.stream.store(10)
    await world.record()
    world.stream.created = "2026-11-28T13:00:00Z"
    world.stream.store(5)
    found = await world.verify()
    assert (found.sound, found.checked) == (True, 15)
    del world.stream.messages[3]
    assert differences(await world.verify()) == [("removed", 3, 3)]


async def test_records_of_expired_days_are_removed_and_the_rest_stays_sound(world: World) -> None:
    for _ in range(20):
        world.stream.store(50)
        await world.record()
        world.stream.now += DAY
        world.stream.expire()
    found = await world.verify()
    assert found.sound
    assert len(await world.links("events")) <= 9
    assert await world.links("pruned")
    await world.sql("DELETE FROM certificate_links WHERE number = (SELECT min(number) FROM certificate_links)")
    assert "is missing" in (await world.verify()).problem


async def test_a_stream_without_an_age_limit_has_a_bounded_chain(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openclaw_nats.reconcile.recorder.MOST_LINKS", 10)
    world.stream.max_age = 0
    for _ in range(40):
        world.stream.store(5)
        await world.record()
        world.stream.now += DAY
    assert len(await world.links("events")) <= 11
    assert (await world.verify()).sound


async def test_differences_and_kinds_are_bounded(world: World) -> None:
    for number in range(500):
        world.stream.store(1, f"agent.events.kind{number}.x")
    await world.record()
    for number in range(1, 500, 2):
        del world.stream.messages[number]
    found = await world.verify()
    assert (len(found.differences), found.differing) == (MOST_DIFFERENCES, 250)
    kinds = {one.kind: one.stored for one in found.kinds}
    assert (len(kinds) <= 201, kinds[OTHER] >= 300, sum(kinds.values())) == (True, True, 500)


async def until(certificates: Certificates, wanted: Callable[[CertificateState], bool]) -> CertificateState:
    async with asyncio.timeout(20):
        while True:
            if wanted(state := await certificates.state()):
                return state
            await asyncio.sleep(0.01)


async def test_one_certificate_is_made_at_a_time_and_the_newest_outlives_a_restart(world: World) -> None:
    world.stream.store(10)
    clock = lambda: world.stream.now  # noqa: E731
    certificates = Certificates(world.database, world.book, world.stream, lambda: 0, clock)
    task = asyncio.create_task(certificates.run())
    try:
        state = await until(certificates, lambda state: state.last is not None)
        assert state.last is not None
        assert (state.running, state.last.checked, state.days) == (False, 10, [])
        world.stream.store(1)
        certificates.ask(None)
        with pytest.raises(Conflict):
            certificates.ask(None)
        state = await until(certificates, lambda state: not state.running)
        assert state.last is not None
        assert state.last.checked == 11
        world.stream.fails_at = 5
        certificates.ask(None)
        state = await until(certificates, lambda state: not state.running)
        assert state.failure == "NATS is away"
    finally:
        task.cancel()
    later = Certificates(world.database, world.book, world.stream, lambda: 0, clock)
    task = asyncio.create_task(later.run())
    try:
        state = await until(later, lambda state: state.last is not None)
        assert state.last is not None
        assert state.last.checked == 11
    finally:
        task.cancel()


async def test_the_head_is_for_its_owner_only(world: World) -> None:
    world.stream.store(1)
    await world.record()
    assert (world.folder / HEAD).stat().st_mode & 0o777 == 0o600


def test_the_table_is_made_by_a_migration(tmp_path: Path) -> None:
    Database(tmp_path / "x.db").close()
    with sqlite3.connect(tmp_path / "x.db") as db:
        assert db.execute("SELECT count(*) FROM certificate_links").fetchone() == (0,)
