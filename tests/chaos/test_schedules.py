"""Schedules while everything is killed: each tick and timer comes once, or is made up for as its policy says."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from openclaw_nats.schedules.keeper import AHEAD
from tests.support import jetstream
from tests.support.processes import NatsServer, Sidecar, kill_and_restart, wait_until

pytestmark = pytest.mark.timeout(300)

SEED = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**9))
EVERY_SECOND = "* * * * * *"


@pytest.fixture
def second(tmp_path: Path, nats: NatsServer) -> Iterator[Sidecar]:
    """Another sidecar on the same NATS, of another Gateway."""
    one = Sidecar(tmp_path / "second", nats, '[gateway]\nid = "second"\n')
    one.start()
    yield one
    one.close()


def planned(sidecar: Sidecar, subject: str) -> list[int]:
    """The ticks whose events are in the stream, in whole seconds, in the order in which they came."""
    events = sidecar.events(f"?subject={subject}")
    notes: list[dict[str, Any]] = [event["data"]["_cron"] for event in events]
    wanted = [note for note in notes if "manual" not in note and "skipped" not in note]
    return [int(datetime.fromisoformat(note["scheduledFor"]).timestamp()) for note in wanted]


def passed_on(sidecar: Sidecar) -> int:
    """How many events the route `pass on` has let through: what an agent would have been woken for."""
    return len(sidecar.events("?subject=agent.events.custom.passed"))


def late(sidecar: Sidecar, subject: str) -> list[float]:
    """How late each event was stored, in seconds."""
    notes = [event["data"]["_cron"] for event in sidecar.events(f"?subject={subject}")]
    moment = datetime.fromisoformat
    return [(moment(note["firedAt"]) - moment(note["scheduledFor"])).total_seconds() for note in notes]


def test_ticks_come_on_time_while_the_sidecar_is_down(nats: NatsServer, sidecar: Sidecar) -> None:
    assert sidecar.call("POST", "/api/cron", {"name": "tick", "cron": EVERY_SECOND})[0] == 201
    assert sidecar.call("POST", "/api/timers", {"name": "timer", "delay": "3s"})[0] == 201
    down = time.time()
    sidecar.kill()
    time.sleep(5)
    back = time.time()
    sidecar.start()
    ticks = planned(sidecar, "agent.events.cron.tick")
    assert set(range(int(down) + 1, int(back))) <= set(ticks)
    assert max(late(sidecar, "agent.events.cron.tick")) < 1
    assert len(sidecar.events("?subject=agent.events.timer.timer")) == 1
    wait_until(
        lambda: max(planned(sidecar, "agent.events.cron.tick")) > back + 12, 30, "ticks beyond those armed before"
    )
    assert len(set(ticks)) == len(ticks)


def test_kill_9_of_everything_fires_no_tick_twice_and_loses_no_timer(nats: NatsServer, sidecar: Sidecar) -> None:
    dice = random.Random(SEED)
    print(f"seed {SEED} (CHAOS_SEED={SEED} repeats it)")
    # First of all: it passes on what fires from now on, and the first timers may fire while the last are made.
    route = {"name": "timers", "pattern": "agent.events.timer.>", "target": "main"}
    assert sidecar.call("POST", "/api/routes", route)[0] == 201
    for name in ("a", "b", "c"):
        assert sidecar.call("POST", "/api/cron", {"name": name, "cron": EVERY_SECOND})[0] == 201
    for number in range(60):
        body = {"name": f"t{number}", "delayMs": 1000 + 250 * number}
        assert sidecar.call("POST", "/api/timers", body)[0] == 201
    victims = [sidecar, nats] * 4
    dice.shuffle(victims)
    kill_and_restart(victims, dice, (0.3, 2.0))
    sidecar.wait_up()
    wait_until(lambda: not sidecar.call("GET", "/api/timers")[1]["timers"], 40, "the last timer")
    time.sleep(2)
    stored = sidecar.events("?subject=agent.events.timer.>")
    assert len({event["subject"] for event in stored}) == 60, f"seed {SEED}: timers were lost"
    # A nats-server that is killed may have stored one and not yet noted that: it stores it again, as the same event.
    assert len({(event["subject"], event["id"]) for event in stored}) == 60, f"seed {SEED}: one fired twice"
    wait_until(lambda: _deliveries(sidecar) >= 60, 20, "the deliveries")
    assert _deliveries(sidecar) == 60, f"seed {SEED}"
    for name in ("a", "b", "c"):
        ticks = planned(sidecar, f"agent.events.cron.{name}")
        assert len(ticks) == len(set(ticks)), f"seed {SEED}: a tick of {name} came twice"
        assert ticks == sorted(ticks)
        assert max(ticks) > time.time() - 5, f"seed {SEED}: {name} does not go on"


def _deliveries(sidecar: Sidecar) -> int:
    return sum(sidecar.get("/api/health")[1]["delivery"]["counts"].values())


def ticks_by_gateway(sidecar: Sidecar, subject: str) -> dict[str, list[int]]:
    """The same, by the Gateway whose job it is."""
    found: dict[str, list[int]] = {}
    for event in sidecar.events(f"?subject={subject}"):
        if not {"manual", "skipped"} & event["data"]["_cron"].keys():
            at = int(datetime.fromisoformat(event["data"]["_cron"]["scheduledFor"]).timestamp())
            found.setdefault(event["gatewayid"], []).append(at)
    return found


def test_two_gateways_on_one_nats_fire_each_tick_of_each_job_once(
    nats: NatsServer, sidecar: Sidecar, second: Sidecar
) -> None:
    dice = random.Random(SEED)
    print(f"seed {SEED} (CHAOS_SEED={SEED} repeats it)")
    both = (sidecar, second)
    for one in both:  # a job belongs to its Gateway: two of one name are two jobs
        assert one.call("POST", "/api/cron", {"name": "shared", "cron": EVERY_SECOND})[0] in (200, 201)
    begin = int(time.time()) + 1
    excused: set[int] = set()  # a job of every second is armed for ten seconds: a longer outage has nothing to fire
    for _ in range(6):
        time.sleep(dice.uniform(0.5, 1.5))
        victim = dice.choice(both)
        victim.kill()
        down = time.time()
        time.sleep(dice.uniform(0, 1))
        victim.start()
        excused |= set(range(int(down) + AHEAD - 2, int(time.time()) + 3))
    assert len(excused) < 20, "this machine starts a sidecar too slowly for this test"
    time.sleep(12)  # beyond all ticks that were armed before the last restart
    subject = "agent.events.cron.shared"
    found = ticks_by_gateway(sidecar, subject)
    assert len(found) == 2, f"seed {SEED}: {found}"
    wanted = set(range(begin, int(time.time()) - 1))
    for gateway, ticks in found.items():
        assert len(ticks) == len(set(ticks)), f"seed {SEED}: a tick of {gateway} came twice"
        missing = wanted - excused - set(ticks)
        assert not missing, f"seed {SEED}: ticks of {gateway} are missing: {sorted(missing)}, excused {excused}"
    assert second.call("POST", "/api/cron/shared/pause")[0] == 200
    time.sleep(1)
    before = ticks_by_gateway(sidecar, subject)
    time.sleep(17)  # the other sidecar has looked meanwhile, and does not arm what was paused elsewhere
    after = ticks_by_gateway(sidecar, subject)
    assert after["second"] == before["second"]
    (mine,) = set(after) - {"second"}
    assert len(after[mine]) >= len(before[mine]) + 15  # the job of that name here goes on
    assert sidecar.call("GET", "/api/cron/shared")[1]["enabled"] is True
    assert second.call("GET", "/api/cron/shared")[1]["enabled"] is False


@pytest.mark.parametrize(("missed", "runs"), [("run_once", 1), ("skip", 0), ("within:1h", 1), ("within:2s", 0)])
def test_what_was_missed_while_everything_was_down(nats: NatsServer, sidecar: Sidecar, missed: str, runs: int) -> None:
    # A job that is due in a few seconds and then once an hour, so that exactly one tick is missed.
    due = datetime.fromtimestamp(time.time() + 4)
    job = {"name": "hourly", "cron": f"{due.second} {due.minute} * * * *", "missed": missed}
    if missed == "skip":
        job["missed"] = "within:1s"  # the same rule as skip, whose minute of grace would make the test a long one
    assert sidecar.call("POST", "/api/cron", job)[0] == 201
    passed = {"kind": "subject", "subject": "agent.events.custom.passed"}
    assert (
        sidecar.call("POST", "/api/routes", {"name": "x", "pattern": "agent.events.cron.>", "target": passed})[0] == 201
    )
    sidecar.kill()
    nats.kill()
    time.sleep(9)
    nats.start()
    time.sleep(1)
    sidecar.start()
    time.sleep(2)
    assert len(planned(sidecar, "agent.events.cron.hourly")) == runs
    history = sidecar.call("GET", "/api/cron/hourly/history")[1]["runs"]
    assert [run["outcome"] for run in history] == (["fired"] if runs else ["skipped"])
    sidecar.kill()
    sidecar.start()
    time.sleep(3)
    assert len(planned(sidecar, "agent.events.cron.hourly")) == runs  # looked at again: decided already
    assert passed_on(sidecar) == runs


def test_a_long_outage_of_a_frequent_job_is_one_run(nats: NatsServer, sidecar: Sidecar) -> None:
    assert sidecar.call("POST", "/api/cron", {"name": "often", "cron": "*/2 * * * * *"})[0] == 201
    time.sleep(3)
    sidecar.kill()
    nats.kill()
    down = time.time()
    time.sleep(31)  # longer than all that was armed
    nats.start()
    sidecar.start()
    back = time.time()
    time.sleep(3)
    made_up = [tick for tick in planned(sidecar, "agent.events.cron.often") if down < tick < back - 2.5]
    assert len(made_up) <= 1
    raw = [event["data"]["_cron"]["scheduledFor"] for event in sidecar.events("?subject=agent.events.cron.often")]
    assert len(raw) == len(set(raw))
    assert max(planned(sidecar, "agent.events.cron.often")) >= back


def test_overdue_timers_fire_at_once_after_an_outage(nats: NatsServer, sidecar: Sidecar) -> None:
    for number in range(5):
        assert sidecar.call("POST", "/api/timers", {"name": f"t{number}", "delayMs": 500 + 300 * number})[0] == 201
    sidecar.kill()
    nats.kill()
    time.sleep(4)
    nats.start()
    sidecar.start()
    events = wait_until(
        lambda: len(found := sidecar.events("?subject=agent.events.timer.>")) == 5 and found, 10, "all five timers"
    )
    for event in events:
        note = event["data"]["_timer"]
        assert datetime.fromisoformat(note["firedAt"]) > datetime.fromisoformat(note["scheduledFor"])


def test_what_somebody_removed_from_the_stream_is_armed_again(nats: NatsServer, sidecar: Sidecar) -> None:
    assert sidecar.call("POST", "/api/cron", {"name": "tick", "cron": EVERY_SECOND})[0] == 201
    jetstream.api(nats, "STREAM.PURGE.agent_schedules", {"filter": "agent.schedules.armed.>"})
    count = len(planned(sidecar, "agent.events.cron.tick"))
    wait_until(lambda: len(planned(sidecar, "agent.events.cron.tick")) > count + 2, 25, "ticks again")
