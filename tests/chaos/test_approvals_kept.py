"""Sidecar and nats-server are killed with -9 while calls are handed over and answered: none lost, one turn for each.

APPROVALS=200 makes it the large proof.
"""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.approvals import SESSION, hand_over, reported
from tests.support.inbound import ROOMY, Bus, running_bus
from tests.support.processes import kill_and_restart, wait_until

COUNT = int(os.environ.get("APPROVALS") or 40)
SEED = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**9))
KILLS = 3
pytestmark = pytest.mark.timeout(300 + 5 * COUNT)


def until_answered(what: str, ask: Any) -> Any:
    """Ask until there is an answer, as plugin and operator do."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            return ask()
        except (OSError, ValueError, AssertionError):
            time.sleep(0.1)
    raise AssertionError(f"seed {SEED}: no answer to {what}")


def answered(bus: Bus, number: int) -> tuple[int, Any]:
    """One try to approve; raises AssertionError when the sidecar can't take it now."""
    status, found = bus.call("POST", f"/api/approvals/{number}/approve", {})
    assert status in (200, 409), found
    return status, found


def test_nothing_is_lost_and_each_approval_has_one_turn(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    print(f"seed {SEED} (CHAOS_SEED={SEED} repeats it)")
    with running_bus(tmp_path, ROOMY) as bus:
        bus.route("mail", "agent.events.custom.mail", SESSION, guard="ask", flow={"concurrency": 4})
        over = threading.Event()
        kills = Counter[str]()

        def kill() -> None:
            while not over.is_set() or sum(kills.values()) < KILLS:  # quick answers are over before
                victim = dice.choice([bus.sidecar, bus.sidecar, bus.nats])
                kills[type(victim).__name__] += 1
                kill_and_restart([victim], dice, (0.5, 3))

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            for _ in range(COUNT):
                report = reported()
                until_answered("a report", lambda one=report: hand_over(bus, one))
            found = until_answered("the list", lambda: bus.call("GET", "/api/approvals?limit=1000")[1]["approvals"])
            numbers = [one["id"] for one in found]
            assert len(numbers) == COUNT, f"seed {SEED}: {len(numbers)} of {COUNT} are kept"
            for number in numbers:
                status, problem = until_answered("an answer", lambda one=number: answered(bus, one))
                # The answer to a first try may have been lost, which then was the first.
                assert status == 200 or "was approved by the API key" in problem["detail"]
        finally:
            over.set()
            killer.join(120)
        bus.sidecar.wait_up()
        commands = {f"touch /tmp/{number}" for number in _numbers(" ".join(one["arguments"] for one in found))}

        def turns() -> Counter[str]:
            return Counter(f"touch /tmp/{number}" for text in bus.messages() for number in _numbers(text))

        wait_until(lambda: turns().keys() == commands, 120, "a turn for each")
        time.sleep(3)  # what would come twice
        print(f"{COUNT} approvals, kills {dict(kills)}, turns {Counter(turns().values())}")
        assert set(turns().values()) == {1}, f"seed {SEED}"
        assert sum(kills.values()) >= KILLS


def _numbers(text: str) -> list[str]:
    return re.findall(r"touch /tmp/(\d+)", text)
