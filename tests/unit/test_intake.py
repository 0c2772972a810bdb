"""What the intake makes of what it is given: by the lease of its name, and of what pretends to be the Gateway's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.inbound.budgets import Budgets, Limit
from openclaw_nats.inbound.documents import Documents
from openclaw_nats.inbound.flow_control import FlowControl
from openclaw_nats.inbound.intake import Intake
from openclaw_nats.inbound.judging import Judge
from openclaw_nats.inbound.loop_guard import LoopGuard
from openclaw_nats.inbound.meters import InboundMeters
from openclaw_nats.inbound.route_book import RouteBook
from openclaw_nats.ports import Delivered, OpenGate, Standing
from openclaw_nats.storage import inbox, listing
from openclaw_nats.storage.database import Database


class Gate(OpenGate):
    """A lease that is lost and won."""

    allowed = True

    async def wait(self) -> None:
        while not self.allowed:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


class Source:
    """Two batches; the process stands still, and loses its lease, while it waits for the first."""

    problem = ""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.batches = [self._batch(1), self._batch(2)]
        self.acknowledged: list[int] = []
        self.subscribed = 0

    @staticmethod
    def _batch(number: int) -> list[Delivered]:
        message = StoredMessage(number, "agent.events.custom.x", {}, b"{}", 1_700_000_000_000_000_000 + number, 0)
        return [Delivered(message, f"reply.{number}")]

    async def subscribe(self, filters: Sequence[str], wanted: Sequence[tuple[str, int]]) -> None:
        self.subscribed += 1

    async def next(self) -> list[Delivered]:
        await asyncio.sleep(0.001)
        if not self.batches:
            return []
        if len(self.batches) == 2:
            self.gate.allowed = False
        return self.batches.pop(0)

    async def acknowledge(self, delivered: Sequence[Delivered]) -> None:
        self.acknowledged += [one.message.sequence for one in delivered]

    async def position(self) -> tuple[str, int]:
        return "2026-01-01T00:00:00Z", 0

    async def standing(self) -> Standing:
        return Standing("2026-01-01T00:00:00Z", 1, 2, None)

    async def count_after(self, sequence: int) -> int:
        return 0


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    found = Database(tmp_path / "sidecar.db")
    yield found
    await asyncio.to_thread(found.close)


async def _intake(database: Database, source: Source, gate: Gate, pattern: str) -> tuple[Intake, LoopGuard]:
    """An intake with one route, to a subject, and its loop guard."""
    limits = tuple(Limit(name, 1000, 3600) for name in ("a", "b", "c"))
    flow = FlowControl(Budgets(limits[:2], limits[2], ()), 100_000, lambda: 0.0)
    book = RouteBook(database, source, flow)
    target = {"kind": "subject", "subject": "agent.events.copies"}
    await book.save({"name": "r", "pattern": pattern, "target": target})
    guard = LoopGuard(8)
    intake = Intake(
        source=source,
        database=database,
        book=book,
        flow=flow,
        guard=guard,
        judge=Judge(),
        documents=Documents(database),
        meters=InboundMeters(CollectorRegistry()),
        wake=lambda: None,
        gate=gate,
    )
    return intake, guard


async def test_what_came_after_the_lease_was_lost_is_left_to_whoever_has_it(database: Database) -> None:
    gate = Gate()
    source = Source(gate)
    intake, _ = await _intake(database, source, gate, "agent.events.custom.>")
    task = asyncio.create_task(intake.run())
    async with asyncio.timeout(10):
        while gate.allowed:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.1)
        assert source.acknowledged == []
        assert await database.read(inbox.waiting) == []
        gate.allowed = True
        while source.acknowledged != [2]:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert source.subscribed == 2
    assert [one.order for _, _, one in await database.read(inbox.waiting)] == [2]


async def test_a_forged_event_that_is_deep_is_dropped_as_forged_and_the_loop_guard_says_nothing(
    database: Database,
) -> None:
    gate = Gate()
    intake, guard = await _intake(database, Source(gate), gate, "agent.events.>")
    stopped: list[tuple[str, str, int]] = []
    guard.on_stop = lambda route, subject, hops: stopped.append((route, subject, hops))

    def deep(number: int, subject: str, *, believed: bool) -> Delivered:
        event = {"specversion": "1.0", "id": str(number), "source": "s", "type": "t", "subject": subject, "hops": 50}
        at = 1_700_000_000_000_000_000 + number
        message = StoredMessage(number, subject, {}, json.dumps(event).encode(), at, 0, believed=believed)
        return Delivered(message, "reply")

    await intake.take([deep(1, "agent.events.tool.exec.failed", believed=False)])
    assert (await database.read(listing.states))["dropped"] == 1
    assert (guard.stopped, stopped) == (0, [])
    await intake.take([deep(2, "agent.events.tool.exec.failed", believed=True)])
    assert (guard.stopped, stopped) == (1, [("r", "agent.events.tool.exec.failed", 50)])
