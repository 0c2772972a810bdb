"""Expectations while sidecar and nats-server are killed: nothing is said that is not true, and all that is, once.

What is true is worked out from the stream itself: when each event was stored. EXPECTATIONS and EXPECTATION_KILLS make
it larger: 500 and 1000 for the full length.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import threading
import time
from collections import defaultdict
from typing import Any

import nats as nats_client
import pytest

from tests.support.processes import NATS_PASSWORD, NatsServer, Sidecar, event, kill_and_restart, wait_until

RULES = int(os.environ.get("EXPECTATIONS") or 100)
KILLS = int(os.environ.get("EXPECTATION_KILLS") or 20)
SEED = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**9))
WITHIN = 20.0
pytestmark = pytest.mark.timeout(300 + 10 * KILLS + 2 * RULES)


def post(sidecar: Sidecar, one: dict[str, object], stop: threading.Event) -> None:
    """Store an event, however often that has to be tried; under its id it is one event."""
    while not stop.is_set():
        try:
            status, _ = sidecar.post_events([one])
            if status == 200:
                return
        except (OSError, ValueError, AssertionError):
            pass
        time.sleep(0.2)


def stored(server: NatsServer) -> list[tuple[float, dict[str, Any]]]:
    """The events, each with when it was stored."""

    async def read() -> list[tuple[float, dict[str, Any]]]:
        client = await nats_client.connect(server.url, user="openclaw-nats", password=NATS_PASSWORD)
        try:
            stream = client.jetstream()
            last = (await stream.stream_info("agent_events")).state.last_seq
            messages = await stream.subscribe("agent.events.>", stream="agent_events", ordered_consumer=True)
            found, sequence = [], 0
            while sequence < last:
                message = await messages.next_msg(timeout=10)
                sequence = message.metadata.sequence.stream
                found.append((message.metadata.timestamp.timestamp(), json.loads(message.data)))
            return found
        finally:
            await client.close()

    return asyncio.run(read())


def test_kill_9_of_everything_says_each_absence_once_and_no_other(nats: NatsServer, sidecar: Sidecar) -> None:
    print(f"seed {SEED} (CHAOS_SEED={SEED} repeats it)")
    dice = random.Random(SEED)
    for number in range(RULES):
        subject = f"agent.events.custom.r{number}"
        rule = {"name": f"r{number}", "after": f"{subject}.a", "by": f"{subject}.b", "key": "data.k", "within": "20s"}
        assert sidecar.call("POST", "/api/expectations", rule)[0] == 201
    stop = threading.Event()

    def life() -> None:
        plan = random.Random(SEED + 1)
        turn = 0
        while not stop.is_set():
            number, turn = plan.randrange(RULES), turn + 1
            subject, data = f"agent.events.custom.r{number}", {"k": str(turn)}
            post(sidecar, event(f"a{turn}", f"{subject}.a", data=data), stop)
            if plan.random() < 0.6:
                post(sidecar, event(f"b{turn}", f"{subject}.b", data=data), stop)
            time.sleep(plan.uniform(0.0, 0.1))

    author = threading.Thread(target=life)
    author.start()
    for _ in range(KILLS):
        kill_and_restart([dice.choice([sidecar, sidecar, nats])], dice, (0.2, 2.0))
    stop.set()
    author.join()
    sidecar.wait_up()
    begun: dict[str, tuple[str, float]] = {}
    came: dict[str, list[float]] = defaultdict(list)
    for at, one in stored(nats):
        if not one["subject"].startswith("agent.events.custom."):
            continue
        name, role = one["subject"].split(".")[3:5]
        key = one["data"]["k"]
        if role == "a":
            begun.setdefault(key, (name, at))
        else:
            came[key].append(at)
    expected: dict[tuple[str, str], list[str]] = {}
    for key, (name, at) in begun.items():
        moments = came.get(key, [])
        if moments and abs(moments[0] - at - WITHIN) < 1:
            continue  # at the very moment: both are right
        late = bool(moments) and moments[0] > at + WITHIN
        expected[(name, key)] = ["missed", "recovered"] if late else [] if moments else ["missed"]

    def said() -> dict[tuple[str, str], list[str]]:
        found: dict[tuple[str, str], list[str]] = {one: [] for one in expected}
        for one in sidecar.events("?subject=agent.events.expectation.%3E"):
            what, data = one["subject"].split(".")[3], one["data"]
            if (place := (data.get("expectation"), data.get("key"))) in found:
                found[place].append(what)
        return found

    wanted = sum(len(one) for one in expected.values())
    wait_until(lambda: sum(map(len, said().values())) >= wanted, 90, f"{wanted} notices")
    time.sleep(3)
    assert said() == expected
    assert wanted > 10, "the test has to see absences"
    print(f"{RULES} expectations, {KILLS} kills: {len(begun)} episodes, {wanted} notices, 0 false, 0 missed")
