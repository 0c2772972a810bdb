"""Codes and sessions, with a clock that the test sets."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from openclaw_nats.api.sign_in import CODE_SECONDS, MAX_CODES, MAX_SESSIONS, SignIn
from openclaw_nats.storage.database import Database, migrations


class Clock:
    """Seconds that only the test lets pass."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    one = Database(tmp_path / "sidecar.db")
    yield one
    await asyncio.to_thread(one.close)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sign_in(database: Database, clock: Clock) -> SignIn:
    return SignIn(database, 3600, clock)


async def test_a_code_works_once_within_two_minutes(sign_in: SignIn, clock: Clock) -> None:
    code = await sign_in.new_code()
    clock.now += CODE_SECONDS - 1
    assert await sign_in.redeem(code, "Firefox") is not None
    assert await sign_in.redeem(code, "Firefox") is None
    late = await sign_in.new_code()
    clock.now += CODE_SECONDS
    assert await sign_in.redeem(late, "Firefox") is None
    assert await sign_in.redeem("", "Firefox") is None
    assert await sign_in.redeem("\udc80", "Firefox") is None


async def test_a_code_redeemed_twice_at_the_same_moment_signs_in_once(sign_in: SignIn) -> None:
    code = await sign_in.new_code()
    both = await asyncio.gather(sign_in.redeem(code, "a"), sign_in.redeem(code, "b"))
    assert sorted(one is not None for one in both) == [False, True]


async def test_codes_do_not_pile_up_and_the_newest_still_works(sign_in: SignIn) -> None:
    codes = [await sign_in.new_code() for _ in range(MAX_CODES + 5)]
    assert await sign_in.redeem(codes[0], "x") is None
    assert await sign_in.redeem(codes[-1], "x") is not None


async def test_a_session_ends_with_its_time_and_survives_a_restart_until_then(
    sign_in: SignIn, database: Database, clock: Clock
) -> None:
    signed = await sign_in.redeem(await sign_in.new_code(), "Firefox on Linux")
    assert signed is not None
    token, page, row = signed
    clock.now += 3599
    again = SignIn(database, 3600, clock)
    found = await again.session(token, page)
    assert found is not None
    assert (found.id, found.browser) == (row.id, "Firefox on Linux")
    assert again.lasts(row.id)
    clock.now += 1
    assert await again.session(token, page) is None
    assert not again.lasts(row.id)
    assert again.every() == []
    assert await again.session("another", page) is None


async def test_when_it_was_last_seen_is_kept_but_not_written_each_time(
    sign_in: SignIn, database: Database, clock: Clock
) -> None:
    signed = await sign_in.redeem(await sign_in.new_code(), "x")
    assert signed is not None
    clock.now += 30
    await sign_in.session(signed[0], signed[1])
    assert SignIn(database, 3600, clock).every()[0].seen_at == clock.now - 30
    clock.now += 40
    await sign_in.session(signed[0], signed[1])
    assert SignIn(database, 3600, clock).every()[0].seen_at == clock.now


async def test_too_many_sessions_end_the_one_that_was_not_seen_the_longest(sign_in: SignIn, clock: Clock) -> None:
    tokens = []
    for _ in range(MAX_SESSIONS + 3):
        clock.now += 1
        signed = await sign_in.redeem(await sign_in.new_code(), "x")
        assert signed is not None
        tokens.append(signed[:2])
    assert len(sign_in.every()) == MAX_SESSIONS
    assert await sign_in.session(*tokens[0]) is None
    assert await sign_in.session(*tokens[-1]) is not None


async def test_signing_out_is_for_good(sign_in: SignIn, database: Database, clock: Clock) -> None:
    signed = await sign_in.redeem(await sign_in.new_code(), "x")
    assert signed is not None
    assert await sign_in.end(signed[2].id)
    assert not await sign_in.end(signed[2].id)
    assert await sign_in.session(signed[0], signed[1]) is None
    assert SignIn(database, 3600, clock).every() == []


async def test_neither_token_is_worth_anything_without_the_other(sign_in: SignIn) -> None:
    one, other = [await sign_in.redeem(await sign_in.new_code(), "x") for _ in range(2)]
    assert one is not None
    assert other is not None
    assert await sign_in.session(one[0], one[1]) is not None
    for token, page in ((one[0], ""), (one[0], other[1]), ("", one[1]), (one[1], one[0]), (one[0], one[0])):
        assert await sign_in.session(token, page) is None


def test_sessions_of_a_cookie_alone_end_with_the_upgrade(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as db:
        for step in migrations()[:9]:
            db.executescript(step.read_text())
        db.execute("PRAGMA user_version = 9")
        row = ("a", hashlib.sha256(b"token").digest(), "Firefox", 1.0, 1.0, 1e12)
        db.execute("INSERT INTO dashboard_sessions VALUES (?, ?, ?, ?, ?, ?)", row)
        db.commit()
    database = Database(path)
    assert SignIn(database, 3600).every() == []
    database.close()
