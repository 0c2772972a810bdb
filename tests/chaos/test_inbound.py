"""kill -9 of sidecar, nats-server and Gateway at random in 5,000 deliveries: none lost, none acted on twice.

The Gateway is the Gateway-shaped server (tests/contract/test_hooks.py), which keeps a ledger of idempotency keys.
"""

from __future__ import annotations

import os
import random
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.inbound import ROOMY, Bus, running_bus
from tests.support.processes import kill_and_restart, wait_until

pytestmark = pytest.mark.timeout(400)

SEED = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**9))
EVENTS = 5000


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    with running_bus(tmp_path, ROOMY + '[delivery]\nrun_timeout = "3s"\n') as one:
        yield one


def acted(bus: Bus) -> Counter[int]:
    """How often each event number was acted on, over all keys."""
    found: Counter[int] = Counter()
    for text in bus.messages():
        found.update(int(number) for number in re.findall(r'"n":(\d+)', text))
    return found


def publish_all(bus: Bus, first: int, last: int) -> None:
    """Publish events until each is stored, whatever is killed meanwhile; the id makes a repetition a duplicate."""
    for number in range(first, last):
        body = {"n": number}
        kind = ("single", "digest", "wide")[number % 3]

        def stored(number: int = number, body: dict[str, int] = body, kind: str = kind) -> bool:
            return bus.sidecar.publish(f"agent.events.custom.{kind}.x", body, id=f"chaos-{number}")[0] == 200

        wait_until(stored, 60, f"event {number} to be stored")


def test_5000_deliveries_through_random_kills(bus: Bus) -> None:
    dice = random.Random(SEED)
    print(f"seed {SEED} (CHAOS_SEED={SEED} repeats it)")
    bus.route("single", "agent.events.custom.single.>", "main", flow={"batch": {"size": 1}, "concurrency": 16})
    bus.route(
        "digest", "agent.events.custom.digest.>", "agent:main:digest", flow={"batch": {"size": 50, "wait": "200ms"}}
    )
    bus.route("wide", "agent.events.custom.wide.>", {"kind": "agent", "agentId": "ops"}, flow={"concurrency": 4})
    victims = [bus.sidecar, bus.nats, bus.stub] * 4
    dice.shuffle(victims)
    with ThreadPoolExecutor(5) as publishers:
        step = EVENTS // 5
        futures = [publishers.submit(publish_all, bus, start, start + step) for start in range(0, EVENTS, step)]
        kill_and_restart(victims, dice, (0.2, 1.5))
        for future in futures:
            future.result()
    bus.sidecar.wait_up()
    states = bus.settled(EVENTS, 120)
    counts = acted(bus)
    lost = [number for number in range(EVENTS) if number not in counts]
    twice = [number for number, count in counts.items() if count > 1]
    assert not lost, f"seed {SEED}: {len(lost)} of {EVENTS} lost, first {lost[:5]}"
    assert not twice, f"seed {SEED}: {len(twice)} acted on twice, first {twice[:5]}"
    assert states["delivered"] == EVENTS, states
