"""Real sidecars whose clock is ahead and is put right, and routes whose target is changed while something waits."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.inbound import ROOMY, Bus, running_bus
from tests.support.processes import wait_until

MONTH = 30 * 86400
# The sidecar with a wall clock that is as many seconds ahead as a file says; its monotonic clock is the real one.
AHEAD = """
import sys, time
from pathlib import Path
real, file = time.time, Path(sys.argv[1])
time.time = lambda: real() + float(file.read_text())
from openclaw_nats.service.sidecar import main
main()
"""
TWO_TURNS = "[budget]\nturns_per_hour = 2\nturns_per_day = 1000\nroute_turns_per_hour = 1000\n"


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    with running_bus(tmp_path, TWO_TURNS) as one:
        yield one


@pytest.fixture
def roomy(tmp_path: Path) -> Iterator[Bus]:
    with running_bus(tmp_path, ROOMY) as one:
        yield one


def start_ahead(bus: Bus, seconds: float) -> Path:
    """Start the stopped sidecar with a clock that is ahead; the file that says by how much."""
    file = bus.sidecar.home / "ahead"
    file.write_text(str(seconds))
    with (bus.sidecar.home / "sidecar.out").open("ab") as log:
        command = [sys.executable, "-c", AHEAD, str(file)]
        bus.sidecar.process = subprocess.Popen(
            command, env=bus.sidecar.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    bus.sidecar.wait_up()
    return file


def latest_until(bus: Bus) -> float:
    """The latest moment until which anything waits."""
    found = [one["until"] for one in bus.pending() if one["until"]]
    return max((datetime.fromisoformat(one).astimezone(UTC).timestamp() for one in found), default=0.0)


def fill(bus: Bus) -> None:
    """Spend the budget for turns, use up a rate, and have a delivery fail."""
    hooks = bus.stub.url + "/in"
    bus.route("turn", "agent.events.custom.t", "main", flow={"batch": {"size": 1}})
    bus.route(
        "rate", "agent.events.custom.r", {"kind": "webhook", "url": hooks}, flow={"rate": {"count": 1, "per": "1h"}}
    )
    down = {"kind": "webhook", "url": "http://127.0.0.1:9/"}
    bus.route("retry", "agent.events.custom.f", down, retry={"backoff": ["7s"] * 5})
    for name in ("t", "t", "t", "r", "r", "f"):
        bus.publish(name, {"n": 1})
    wait_until(lambda: latest_until(bus) > time.time() + MONTH / 2, what="something that waits until the wrong time")
    wait_until(lambda: bus.states()["failed"] == 1, what="the failed delivery")


def test_nothing_that_has_happened_is_shown_in_the_future(bus: Bus) -> None:
    bus.sidecar.kill()
    file = start_ahead(bus, MONTH)
    fill(bus)
    file.write_text("0")
    health = bus.sidecar.get("/api/health")[1]
    shown = [health[part]["since"] for part in ("nats", "sidecar", "gateway", "plugin", "delivery")]
    one = bus.pending()[0]["id"]
    detail = bus.call("GET", f"/api/pending/{one}")[1]
    shown += [row[name] for row in bus.pending() for name in ("storedAt", "arrivedAt", "changedAt")]
    shown += [change["at"] for change in detail["history"]]
    shown += [row[name] for row in bus.receipts() for name in ("createdAt", "endedAt")]
    assert len(shown) > 20
    assert max(datetime.fromisoformat(at).timestamp() for at in shown) <= time.time() + 1


@pytest.mark.parametrize("running", [True, False], ids=["while it runs", "while it is stopped"])
def test_a_clock_that_is_put_right_holds_nothing_until_the_wrong_time(bus: Bus, running: bool) -> None:
    bus.sidecar.kill()
    file = start_ahead(bus, MONTH)
    fill(bus)
    if not running:
        bus.sidecar.kill()
    file.write_text("0")
    if not running:
        bus.sidecar.start()
    wait_until(lambda: 0 < latest_until(bus) < time.time() + 3700, 45, "nothing to wait for longer than an hour")
    bus.sidecar.kill()
    bus.sidecar.start()
    assert latest_until(bus) < time.time() + 3700, "and a restart does not bring the wrong time back"


def test_retries_go_to_the_routes_new_target_under_a_new_key(roomy: Bus) -> None:
    bus = roomy
    bus.stub.mode("503", 1000)
    here = {"kind": "webhook", "url": bus.stub.url + "/old"}
    bus.route("w", "agent.events.custom.a.>", here, retry={"backoff": ["1s"] * 30})
    bus.publish("a.x", {"n": 7})
    wait_until(lambda: bus.states()["failed"] == 1, what="the failed delivery")
    old = bus.pending()[0]["dispatch"]
    bus.stub.mode("ok")
    there = {"kind": "webhook", "url": bus.stub.url + "/new"}
    assert bus.call("PATCH", "/api/routes/w", {"target": there})[0] == 200
    assert bus.settled(1)["delivered"] == 1
    (receipt,) = bus.receipts()
    assert receipt["id"] != old, "another target must not be asked with a key that the old one may have seen"
    assert [act["path"] for act in bus.stub.acts()] == ["/new"]


def test_jobs_go_on_after_the_clock_is_put_right(roomy: Bus) -> None:
    bus = roomy
    bus.sidecar.kill()
    file = start_ahead(bus, MONTH)
    job = {"name": "often", "cron": "* * * * * *", "subject": "agent.events.custom.tick"}
    assert bus.call("POST", "/api/cron", job)[0] in (200, 201)
    file.write_text("0")
    fired = "?subject=agent.events.custom.tick"
    wait_until(lambda: len(bus.sidecar.events(fired)) > 2, 45, "ticks of the right time")


@pytest.mark.parametrize("ahead", [600.0, -600.0], ids=["ahead", "behind"])
def test_a_clock_ten_minutes_off_is_said_and_moves_neither_timers_nor_expiry(roomy: Bus, ahead: float) -> None:
    bus = roomy
    bus.sidecar.kill()
    start_ahead(bus, ahead)
    report = bus.sidecar.get("/api/health")[1]
    assert any("600 s" in note and "NATS' clock" in note for note in report["nats"]["notes"]), report["nats"]
    assert abs(bus.sidecar.metric("openclaw_nats_clock_offset_seconds") - ahead) < 2
    target = {"kind": "webhook", "url": bus.stub.url + "/in"}
    bus.route("fresh", "agent.events.custom.e", target, expiresAfter="5m")
    bus.publish("e", {"n": 1})
    wait_until(lambda: bus.states()["delivered"] == 1, what="a fresh event does not expire")
    assert bus.states()["expired"] == 0
    assert bus.call("POST", "/api/timers", {"name": "tea", "delay": "3s"})[0] in (200, 201)
    job = {"name": "often", "cron": "*/2 * * * * *", "subject": "agent.events.custom.tick"}
    assert bus.call("POST", "/api/cron", job)[0] in (200, 201)
    wait_until(lambda: bus.sidecar.events("?subject=agent.events.timer.tea"), 12, "the timer fires after 3 s")
    ticks = wait_until(
        lambda: len(found := bus.sidecar.events("?subject=agent.events.custom.tick")) >= 2 and found, what="ticks"
    )
    due = [datetime.fromisoformat(one["data"]["_cron"]["scheduledFor"]).timestamp() for one in ticks]
    assert all(abs(one - time.time()) < 60 for one in due), "ticks are of now, by the stream's clock"
