"""Ticks and timers over a backup: what had fired before it wakes nobody after it, and what is due comes once."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openclaw_nats.backup import work
from openclaw_nats.jetstream import snapshot
from openclaw_nats.jetstream.connection import Connection, connected
from openclaw_nats.jetstream.options import Options
from openclaw_nats.settings import load
from tests.support.installation import Installation
from tests.support.processes import Sidecar, event, wait_until

COPIED = "agent.events.custom.copied"
TICKS = "agent.events.timer.>"


def ask(house: Installation, do: Callable[[Connection], Any]) -> Any:
    """Do something at the installation's NATS."""

    async def run() -> Any:
        async with connected(Options.from_settings(load(house.home, {})), 10) as connection:
            return await do(connection)

    return asyncio.run(run())


def route(bus: Sidecar, name: str) -> None:
    target = {"kind": "subject", "subject": COPIED}
    bus.call("POST", "/api/routes", {"name": name, "pattern": TICKS, "target": target})


def timer(bus: Sidecar, name: str, delay: str) -> None:
    bus.call("POST", "/api/timers", {"name": name, "delay": delay})


def ticks(bus: Sidecar) -> list[str]:
    """The names of the timers in the events stream, in order."""
    return [one["data"]["_timer"]["name"] for one in bus.events(f"?subject={TICKS}&limit=1000")]


def deliveries(bus: Sidecar, name: str) -> list[str]:
    found = bus.get(f"/api/deliveries?route={name}&limit=1000")[1]["deliveries"]
    return sorted(one["event"].split(":")[1] for one in found)


def restored(house: Installation, file: Path) -> Sidecar:
    """Everything is gone, the backup is put back, and what the server passes on has come."""
    house.stop()
    shutil.rmtree(house.home)
    house.run("restore", str(file), "--yes")
    house.start()
    return house.sidecar


def settled(bus: Sidecar) -> None:
    """Whatever the source would pass on has come: a timer that is set now comes last."""
    timer(bus, "mark", "1s")
    wait_until(lambda: "mark" in ticks(bus), 30, "the timer that is set after the restore")


@pytest.mark.parametrize("purged", [False, True])
def test_what_fired_before_the_backup_wakes_nobody_after_the_restore(
    house: Installation, tmp_path: Path, purged: bool
) -> None:
    bus = house.sidecar
    route(bus, "early")
    for n in range(8):
        timer(bus, f"t{n}", "500ms")
    wait_until(lambda: len(ticks(bus)) == 8 and len(deliveries(bus, "early")) == 8, 30, "the timers")
    if purged:  # nothing in the events says any more how far they were
        ask(house, lambda connection: connection.api("STREAM.PURGE.agent_events", {}))
        bus.post_events([event("after the purge")])
    timer(bus, "due", "9s")
    house.run("backup", str(tmp_path / "b"))
    due = time.monotonic() + 9
    house.stop()
    time.sleep(max(0.0, due - time.monotonic()))  # falls between backup and restore
    bus = restored(house, tmp_path / "b")
    wait_until(lambda: "due" in ticks(bus), 30, "the timer that was due meanwhile")
    route(bus, "late")
    settled(bus)
    wanted = [] if purged else [f"t{n}" for n in range(8)]
    assert sorted(ticks(bus)) == sorted([*wanted, "due", "mark"])
    wait_until(lambda: "mark" in deliveries(bus, "early") and "mark" in deliveries(bus, "late"), 30, "the mark")
    assert deliveries(bus, "early") == sorted([*(f"t{n}" for n in range(8)), "due", "mark"])
    assert deliveries(bus, "late") == ["mark"]
    # and once more, of the same file, and after a start of the server
    house.stop()
    house.start()
    bus = house.sidecar
    settled(bus)
    assert len(ticks(bus)) == len(wanted) + 2
    bus = restored(house, tmp_path / "b")
    settled(bus)
    assert sorted(ticks(bus)) == sorted([*wanted, "due", "mark"])


@pytest.mark.parametrize("order", ["events first", "schedules first"])
def test_a_tick_that_fires_between_the_two_snapshots_comes_once(
    house: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    """`schedules first` is how 0.1.0 made backups: there the events are newer than the schedules."""
    bus = house.sidecar
    route(bus, "early")
    timer(bus, "first", "500ms")
    wait_until(lambda: deliveries(bus, "early") == ["first"], 30, "the first timer")
    for n in range(3):
        timer(bus, f"between{n}", "4s")
    real = snapshot.save

    async def slow(connection: Connection, stream: str, file: Path) -> Any:
        saved = await real(connection, stream, file)
        if stream == ("agent_events" if order == "events first" else "agent_schedules"):
            done = lambda: len(deliveries(bus, "early")) == 4  # noqa: E731
            await asyncio.to_thread(wait_until, done, 30, "the timers between the two")
        return saved

    monkeypatch.setattr(work.streams, "save", slow)
    if order == "schedules first":
        monkeypatch.setattr(work, "STREAMS", tuple(reversed(work.STREAMS)))
    work.make(load(house.home, {}), tmp_path / "b", lambda *_: None)
    assert len(deliveries(bus, "early")) == 4
    timer(bus, "never", "1s")  # not in the backup
    bus = restored(house, tmp_path / "b")
    route(bus, "late")
    settled(bus)
    wait_until(lambda: "mark" in deliveries(bus, "early") and "mark" in deliveries(bus, "late"), 30, "the mark")
    assert deliveries(bus, "early") == ["between0", "between1", "between2", "first", "mark"]
    assert deliveries(bus, "late") == ["mark"]
    house.stop()
    house.start()
    bus = house.sidecar
    timer(bus, "last", "1s")
    wait_until(lambda: "last" in deliveries(bus, "late"), 30, "a timer after the next start")
