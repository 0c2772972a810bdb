"""A dry run over much: the newest events, as far as its limit goes, and it says what it left out."""

from __future__ import annotations

import msgspec
import pytest

from openclaw_nats.events.messages import Message
from openclaw_nats.inbound import dry_run
from openclaw_nats.inbound.budgets import Limit
from openclaw_nats.inbound.judging import Judge
from openclaw_nats.inbound.render_process import RenderProcesses
from openclaw_nats.inbound.rendering import Renderer
from tests.support.memory_log import MemoryLog
from tests.support.processes import event

PLENTY = Limit("plenty", 1000, 3600)


@pytest.mark.parametrize(("most", "read"), [(64 << 20, 10), (3500, 3), (10, 1)])
async def test_the_newest_events_within_the_limit(monkeypatch: pytest.MonkeyPatch, most: int, read: int) -> None:
    monkeypatch.setattr(dry_run, "MAX_BYTES", most)
    log, judge, processes = MemoryLog(), Judge(), RenderProcesses()
    subject = "agent.events.custom.x"
    for number in range(10):
        body = msgspec.json.encode(event(number, subject, data={"n": number, "text": "x" * 800}))
        await log.append([Message(subject, f"m{number}", body)])
    one = dry_run.DryRun(log, Renderer(processes, 1 << 16), judge, (PLENTY, PLENTY))
    try:
        found = await one.replay(dry_run.draft({"name": "r", "pattern": subject, "target": "main"}), 3600)
    finally:
        await judge.close()
        await processes.close()
    assert (found.events, found.matched) == (read, read)
    assert found.judged[-1].id == "id-9"
    assert (f"the oldest {10 - read} events were left out" in found.assumes) == (read < 10)
