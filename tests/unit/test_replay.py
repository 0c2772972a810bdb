"""Replays as rows, their budget, and what they share with nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from openclaw_nats.api.replay_endpoints import summary_of
from openclaw_nats.contract.replays import ReplayPlan
from openclaw_nats.events.identity import replayed, without_replay
from openclaw_nats.inbound.budgets import Budgets, Limit
from openclaw_nats.inbound.flow_control import FlowControl
from openclaw_nats.inbound.groups import Policy, Release
from openclaw_nats.storage import inbox, replays, space
from openclaw_nats.storage.database import Database
from openclaw_nats.storage.replays import ReplayRow
from openclaw_nats.storage.rows import BEHIND_ALL, NewDelivery, Waiting

HOUR = 3600.0
NOW = 1_800_000_000.0
ROW = ReplayRow(0, 1, "door", 0.0, NOW, "delivered", 10, 0, 0.0, False, "the API key", NOW)


def new(number: int, replay: int = 0, state: str = "pending") -> NewDelivery:
    place = replayed(f"{number}@0", replay) if replay else f"{number}@0"
    return NewDelivery(
        place,
        f"e{number}",
        1,
        "door",
        "s",
        "",
        number,
        state,
        "",
        "",
        5,
        0,
        2,
        NOW,
        b"{}",
        replay=replay,
        first_stored=7.0,
    )


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    found = Database(tmp_path / "sidecar.db")
    yield found
    found.close()


async def test_a_part_and_the_position_are_one_commit(database: Database) -> None:
    number = await database.write(lambda db: replays.add(db, ROW))
    [row] = await database.read(replays.running)
    after = replace(row, position=5, made=1)
    assert await database.write(lambda db: replays.advance(db, row, [new(5, number)], after, NOW)) == [1]
    assert await database.write(lambda db: replays.advance(db, row, [new(5, number)], after, NOW)) is None, "once"
    again = await database.write(lambda db: replays.add(db, ROW))
    known, other = await database.write(lambda db: inbox.add(db, [new(5, number), new(5, again)], NOW))
    assert known is None
    assert other is not None
    waiting = [one for _, _, one in await database.read(inbox.waiting)]
    assert [(one.replay, one.first_stored, one.order) for one in waiting] == [
        (number, 7.0, BEHIND_ALL + 5),
        (again, 7.0, BEHIND_ALL + 5),
    ]
    assert without_replay(waiting[0].place) == without_replay("5@0") == "5@0"
    assert await database.write(lambda db: replays.stop(db, number, "enough", NOW)) == [1]
    assert await database.write(lambda db: replays.stop(db, number, "enough", NOW)) is None
    assert await database.write(lambda db: replays.advance(db, after, [new(6, number)], after, NOW)) is None
    assert await database.read(lambda db: replays.counts(db, number)) == {"dropped": 1}


async def test_what_was_forgotten_is_known(database: Database) -> None:
    assert await database.read(replays.forgotten) == 0
    rows = [new(9, state="dropped"), new(4, state="dropped"), new(30, 1, "dropped")]
    numbers = await database.write(lambda db: inbox.add(db, rows, NOW))
    found = [number for number in numbers if number is not None]
    for number in found:
        await database.write(lambda db, number=number: space.forget(db, [number]))  # type: ignore[misc]
    assert await database.read(replays.forgotten) == 9, "the highest sequence; what a replay made does not count"


async def test_of_ended_replays_the_newest_are_kept(database: Database) -> None:
    for _ in range(replays.KEPT + 5):
        number = await database.write(lambda db: replays.add(db, ROW))
        await database.write(lambda db, number=number: replays.stop(db, number, "", NOW))  # type: ignore[misc]
    assert len(await database.read(replays.every)) <= replays.KEPT + 1


def test_replays_share_a_limit_and_leave_the_routes_alone() -> None:
    budgets = Budgets(
        (Limit("all", 10, HOUR),), Limit("route", 2, HOUR), reserve=0.1, replays=Limit("replays", 1, HOUR)
    )
    budgets.made_by_operator(1, 9)
    budgets.spend(NOW, 1, replay=True)
    assert budgets.wait(NOW, 1, replay=True) == budgets.wait(NOW, 2, replay=True) == (NOW + HOUR, "replays")
    assert [one.name for one in budgets.report(NOW)] == ["all", "replays"]
    budgets.refund(1, replay=True)
    assert budgets.wait(NOW, 1, replay=True) == (0.0, "")
    for _ in range(9):
        budgets.spend(NOW, 3, replay=False)
    assert budgets.wait(NOW, 1) == (0.0, ""), "an urgent route has the reserve"
    assert budgets.wait(NOW, 1, replay=True) == (NOW + HOUR, "all"), "a replay of it has not"


def test_what_happens_now_goes_first_and_shares_no_turn_with_a_replay() -> None:
    flow = FlowControl(Budgets((), Limit("route", 100, HOUR)))
    flow.set_route(1, "session main", Policy(), enabled=True)
    old = Waiting(1, replayed("1@0", 7), "e1", BEHIND_ALL + 1, 5, 0, 2, NOW, NOW, replay=7, first_stored=1.0)
    live = Waiting(2, "9@0", "e9", 9, 5, 0, 2, NOW, NOW)
    flow.add(1, "", old)
    flow.add(1, "", live)
    released = []
    for _ in range(2):
        [one] = flow.release(NOW).releases
        assert isinstance(one, Release)
        released.append((one.group, [member.delivery for member in one.members]))
        flow.done(one.lane)
    assert released == [((1, "", 0), [2]), ((1, "", 7), [1])]


def test_the_sentence_says_what_is_left_out() -> None:
    plan = ReplayPlan(
        summary="",
        route="door",
        events=9,
        deliveries=2,
        turns=1,
        tokens=1200.0,
        cost=0.5,
        basis="the route's own 3 turns of the last 7 days",
        gone=3,
        under_way=0,
        unknown=1,
        refused=0,
        complete=True,
    )
    assert summary_of(plan, turn=True) == (
        "2 of 9 events would be replayed, as about 1 turn: about 1,200 tokens, 0.50 in money (the route's own 3 turns "
        "of the last 7 days); 3 can't be replayed any more: they have left the stream; 1 are left out: what became of "
        "them is forgotten"
    )
    more = summary_of(structs.replace(plan, gone=0, unknown=0, complete=False), turn=False)
    assert more == "2 of 9 events would be replayed. There are more (the limit, or 20 s of looking)"
