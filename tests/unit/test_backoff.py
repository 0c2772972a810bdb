"""Waiting after failures, and what health says of a task that failed once."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from openclaw_nats.backoff import wait_after
from openclaw_nats.service import tasks


def test_the_wait_doubles_up_to_the_longest_however_long_it_goes_on() -> None:
    assert [wait_after(failures, 0.1, 1.0) for failures in range(5)] == [0.1, 0.2, 0.4, 0.8, 1.0]
    assert wait_after(1025, 0.1, 1.0) == 1.0  # 18 minutes of an outage at one failure a second
    assert wait_after(10**9, 0.2, 5.0) == 5.0


async def test_the_error_of_a_task_is_shown_until_it_has_run_well_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_HEALTHY_SECONDS", 0.05)
    monkeypatch.setattr(tasks, "_BACKOFF", (0.0,))
    errors: dict[str, str] = {}
    seen: list[str] = []

    async def run() -> None:
        if not seen:
            seen.append("failed")
            raise OverflowError("too large")
        seen.append(errors["work"])
        await asyncio.Event().wait()

    task = asyncio.create_task(tasks.keep_running("work", run, errors))
    async with asyncio.timeout(5):
        while len(seen) < 2 or errors:  # noqa: ASYNC110  (there is nothing to wait on)
            await asyncio.sleep(0.01)
    assert seen[1] == "OverflowError('too large')"
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
