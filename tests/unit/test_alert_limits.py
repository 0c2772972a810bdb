"""What alert channels are limited to: how long and how often a message is tried, how many there are, what they hold."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from openclaw_nats.alerts.book import ChannelBook
from openclaw_nats.alerts.fleet import Fleet
from openclaw_nats.alerts.sending import Alerts
from openclaw_nats.audit.trail import Untraced
from openclaw_nats.contract import health as shapes
from openclaw_nats.contract.alerts import AlertChannelRequest
from openclaw_nats.contract.deliveries import DeliveryCounts
from openclaw_nats.errors import InvalidInput
from openclaw_nats.port_holder import free_port
from openclaw_nats.service.files import write_private
from openclaw_nats.storage import alerts as rows
from openclaw_nats.storage import inbox
from openclaw_nats.storage.database import Database
from openclaw_nats.storage.rows import NewDelivery

DAY = 86400.0
WORDS = "PRIVATE-WORDS-OF-A-CHAT"


class World:
    """Channels whose receiver refuses the connection, dead letters and more, and a clock that tests move."""

    def __init__(self, folder: Path) -> None:
        self.now = 1_800_000_000.0
        self.address = f"http://127.0.0.1:{free_port()}/x"
        self.database = Database(folder / "sidecar.db")
        self.dead = 1
        book = ChannelBook(folder / "alerts.json", write_private, Untraced(), lambda: self.now)
        fleet = Fleet("main", "k", self._leases, lambda: self.now)
        self.alerts = Alerts(
            book, Untraced(), self.database, self._health, fleet, "main", "http://h/", 0, clock=lambda: self.now
        )

    async def _health(self) -> shapes.Health:
        counts = DeliveryCounts(**dict.fromkeys(DeliveryCounts.__struct_fields__, 0) | {"dead": self.dead})
        delivery = shapes.DeliveryHealth(True, "", "2026-11-28T00:00:00Z", counts=counts, approvals=1)
        expectations = shapes.ExpectationsHealth(1, ["backup"], 0, "")
        return shapes.Health("up", delivery=delivery, expectations=expectations)

    async def _leases(self) -> list[bytes]:
        return []

    async def add(self, name: str = "phone", **wanted: Any) -> None:
        await self.alerts.book.add(AlertChannelRequest(name=name, to=self.address, window="0s", **wanted))

    def message(self, channel: str = "phone") -> rows.MessageRow:
        return self.database.read_now(lambda db: rows.history(db, channel, 1))[0]

    async def attempt(self) -> rows.MessageRow:
        """Let what is due be tried, once."""
        before = self.message().attempts
        until = time.monotonic() + 20
        sender = asyncio.create_task(self.alerts.send_on())
        while self.message().attempts == before:
            assert time.monotonic() < until, "nothing was tried"
            await asyncio.sleep(0.01)
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)
        return self.message()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    one = World(tmp_path)
    yield one
    one.database.close()


async def test_a_message_is_tried_after_two_seconds_then_twice_as_long_up_to_ten_minutes_for_three_days(
    world: World,
) -> None:
    await world.add()
    await world.alerts.look()
    made, waits = world.now, []
    for _ in range(12):
        tried = await world.attempt()
        waits.append(tried.next_at - world.now)
        world.now = tried.next_at
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600]
    world.now = made + 3 * DAY - 1
    tried = await world.attempt()
    assert tried.ended_at is None, "not yet three days"
    world.now = made + 3 * DAY
    assert world.database.read_now(lambda db: rows.due(db, world.now)) == [], "its time has not come"
    world.now = tried.next_at
    tried = await world.attempt()
    assert (tried.ended_at, tried.attempts) == (world.now, 14)
    assert "refused" in tried.error or "reach" in tried.error
    assert world.database.read_now(rows.waiting) == {}


async def test_there_are_at_most_twenty_channels(world: World) -> None:
    for number in range(20):
        await world.add(f"c{number}")
    with pytest.raises(InvalidInput, match="20 alert channels already"):
        await world.add("one-more")
    await world.alerts.remove("c7")
    await world.add("one-more")


async def keep(world: World, data: str = WORDS, count: int = 1) -> None:
    """What is wrong, in the database."""
    document = msgspec.json.encode({"specversion": "1.0", "id": "x", "data": {"text": data}})

    def dead(number: int) -> NewDelivery:
        return NewDelivery(
            place=f"s:{number}",
            event_id="x",
            route_id=1,
            route="shop",
            subject="agent.events.custom.x",
            session="",
            sequence=number,
            state="dead",
            reason="no",
            flow_key="",
            priority=5,
            hops=0,
            size=len(document),
            stored_at=0.0,
            document=document,
        )

    def job(db: sqlite3.Connection) -> None:
        inbox.add(db, [dead(number) for number in range(count)], 0.0)
        names = "key, state, agent, session, run_id, route_id, route, dispatch_id, hops, events, tool, arguments, size"
        more = "digest, rule, first_at, last_at, expires_at"
        values = f"'k', 'pending', 'main', '', 'r', 0, '', '', 0, '[]', 'exec', '{{\"command\": \"{WORDS}\"}}', 0"
        db.execute(f"INSERT INTO approvals ({names}, {more}) VALUES ({values}, '', '', 0, 0, 0)")  # noqa: S608
        db.execute("INSERT INTO expectations (name, document, made, after_sequence) VALUES ('backup', '{}', 0, 0)")
        db.execute(
            "INSERT INTO expectation_episodes (expectation, key, state, began, due, boot, due_steady, gateway) "
            "VALUES ((SELECT id FROM expectations), ?, 'missed', 0, 0, '', 0, '')",
            (WORDS,),
        )

    await world.database.write(job)


async def test_content_goes_only_to_a_channel_that_asked_for_it(world: World) -> None:
    await keep(world)
    await world.add("plain")
    await world.add("open", content=True)
    await world.add("text", content=True, format="text")
    await world.alerts.look()
    assert WORDS not in world.message("plain").body
    raised = json.loads(world.message("open").body)["data"]["raised"]
    held = {one["kind"]: one.get("content") for one in raised}
    assert held == {
        "dead-letters": [f'shop: agent.events.custom.x: no: {{"text":"{WORDS}"}}'],
        "approvals": [f'main wants exec {{"command": "{WORDS}"}}'],
        "expectation": [WORDS],
    }
    assert f'  shop: agent.events.custom.x: no: {{"text":"{WORDS}"}}\n' in world.message("text").body


async def test_content_is_three_short_lines_that_change_nothing_around_them(world: World) -> None:
    await keep(world, "x" * 5000 + "END", count=5)
    await world.add(content=True)
    await world.alerts.look()
    [held] = [
        one["content"] for one in json.loads(world.message().body)["data"]["raised"] if one["kind"] == "dead-letters"
    ]
    assert [len(one) for one in held] == [500, 500, 500]
    assert held[0].endswith("x…")


async def test_content_has_no_control_characters(world: World) -> None:
    await keep(world, "a\u202eb\nc")
    await world.add(content=True, format="text")
    await world.alerts.look()
    [line] = [one for one in world.message().body.splitlines() if "shop" in one]
    assert "\u202e" not in line
