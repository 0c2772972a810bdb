"""What a route is tried on when it is saved is bounded, whatever the stream does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from openclaw_nats.errors import Unavailable
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.inbound import stream_trial
from openclaw_nats.inbound.judging import Judge
from openclaw_nats.inbound.route import compile_route, parse
from openclaw_nats.inbound.stream_trial import StreamTrial

ROUTE = compile_route(parse({"name": "r", "pattern": "agent.events.x", "target": "main", "when": "data.n > 1"}))


def message(sequence: int, size: int) -> StoredMessage:
    body = json.dumps({"n": "text", "fill": "x" * size}).encode()
    return StoredMessage(sequence, "agent.events.x", {}, body, 1, 0)


async def large(pattern: str, count: int) -> AsyncIterator[StoredMessage]:
    for sequence in range(count):
        yield message(sequence, 1_000_000)


async def nothing(pattern: str, count: int) -> AsyncIterator[StoredMessage]:
    await asyncio.sleep(3600)
    yield message(1, 1)


async def broken(pattern: str, count: int) -> AsyncIterator[StoredMessage]:
    raise Unavailable("the stream can't be read")
    yield message(1, 1)


async def test_large_events_are_tried_up_to_a_number_of_bytes() -> None:
    assert "each of the 4 newest events" in await StreamTrial(large, Judge()).check(ROUTE)


async def test_what_could_not_be_read_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_trial, "READ_SECONDS", 0.05)
    assert "did not answer" in await StreamTrial(nothing, Judge()).check(ROUTE)
    assert "the stream can't be read" in await StreamTrial(broken, Judge()).check(ROUTE)
