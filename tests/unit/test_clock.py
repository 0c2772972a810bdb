"""A clock that was ahead and is corrected: noticed while running, and found in what was stored."""

from __future__ import annotations

import asyncio
from pathlib import Path

from openclaw_nats.api.sign_in import CODE_SECONDS, SignIn
from openclaw_nats.clock_steps import ClockSteps
from openclaw_nats.storage import inbox
from openclaw_nats.storage.clock import put_right
from openclaw_nats.storage.database import Database
from openclaw_nats.storage.rows import NewDelivery

NOW = 1_800_000_000.0
MONTH = 30 * 86400.0


def test_a_step_back_is_noticed_once_and_nothing_else_is() -> None:
    wall, monotonic = [NOW], [5.0]
    steps = ClockSteps(lambda: wall[0], lambda: monotonic[0])
    assert steps.put_back() == 0.0
    wall[0], monotonic[0] = NOW + 100.5, 105.0  # time synchronisation does this
    assert steps.put_back() == 0.0
    wall[0] += MONTH  # ahead, or the machine slept
    assert steps.put_back() == 0.0
    wall[0] -= MONTH
    assert steps.put_back() == MONTH
    assert steps.put_back() == 0.0


def test_stored_times_do_not_lie_in_the_future(tmp_path: Path) -> None:
    database = Database(tmp_path / "db")
    ahead = NOW + MONTH
    row = NewDelivery("s:1", "e", 1, "r", "s", "", 1, "pending", "", "", 5, 0, 1, ahead, b"{}")
    database.now(lambda db: inbox.add(db, [row], ahead))
    sql = (
        "INSERT INTO dispatches (id, route_id, route, target, body, events, priority, hops, position, state, "
        "created_at, changed_at, due_at) VALUES (?, 1, 'r', '{}', '', 1, 5, 0, 1, ?, ?, ?, ?)"
    )
    database.now(lambda db: db.execute(sql, ("wrong", "failed", ahead, ahead + 1, ahead + 21)))
    database.now(lambda db: db.execute(sql, ("right", "failed", NOW - 9, NOW - 5, NOW + 300)))
    database.now(lambda db: db.execute("INSERT INTO turns (at, route_id) VALUES (?, 1), (?, 1)", (NOW - 60, ahead)))
    assert database.now(lambda db: put_right(db, NOW)) == 4
    assert database.now(lambda db: put_right(db, NOW)) == 0
    assert [at for at, *_ in database.now(lambda db: inbox.turn_times(db, 0))] == [NOW - 60, NOW]
    ((_, _, waiting),) = database.now(inbox.waiting)
    assert (waiting.arrived, waiting.stored) == (NOW, NOW)
    due = {one.id: (one.due_at, one.created_at) for one in database.now(inbox.open_dispatches)}
    assert due == {"wrong": (NOW + 20, NOW), "right": (NOW + 300, NOW - 9)}
    database.close()


def test_sessions_and_codes_of_a_clock_that_was_ahead_do_not_outlast_others(tmp_path: Path) -> None:
    async def story() -> None:
        database = Database(tmp_path / "db")
        now = [NOW + MONTH]
        sign_in = SignIn(database, 3600, lambda: now[0])
        token, page, _ = await sign_in.redeem(await sign_in.new_code(), "b") or ("", "", None)
        code = await sign_in.new_code()
        now[0] = NOW
        assert await sign_in.redeem(code, "b") is None, f"a code is good for {CODE_SECONDS:g} s, not for a month"
        assert await sign_in.session(token, page) is not None
        again = SignIn(database, 3600, lambda: now[0])
        now[0] = NOW + 3601
        assert await sign_in.session(token, page) is None
        assert await again.session(token, page) is None
        await asyncio.to_thread(database.close)

    asyncio.run(story())
