"""A real Gateway, the sidecar and nats-server are killed with -9 between request, answer and execution of approvals.

No call runs twice, and none that was not answered is lost. APPROVALS=200 makes it the large proof.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import nats
import pytest

from tests.chaos.test_approvals_kept import until_answered
from tests.gateway.test_approvals import Asking, lines
from tests.gateway.test_events import VERSION
from tests.gateway.test_guard import CONFIG, TEMPLATE
from tests.support import jetstream
from tests.support.inbound import ROOMY
from tests.support.processes import wait_until

COUNT = int(os.environ.get("APPROVALS") or 12)
SEED = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**9))
SESSIONS = 3
KILLS = 3  # at least
MOST_KILLS = max(KILLS, COUNT // 2)  # more would ask how fast the machine is, not whether a call is lost
pytestmark = [pytest.mark.gateway, pytest.mark.timeout(900 + 40 * COUNT)]


class Killer:
    """Kills one of the three at random moments, and starts it again."""

    def __init__(self, world: Asking, dice: random.Random) -> None:
        self.over = threading.Event()
        self.kills = Counter[str]()
        self._world = world
        self._dice = dice
        self._states: dict[int, tuple[str, str]] = {}
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._thread.join(300)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        world = self._world
        while self.kills.total() < (KILLS if self.over.is_set() else MOST_KILLS):
            # One call gets on between two kills, else on a slow machine nothing would ever be asked for.
            wait_until(self._connected, 180, "the plugin's channel")
            with contextlib.suppress(AssertionError):
                wait_until(self._has_got_on, 60, "a call to get on")
            time.sleep(self._dice.uniform(0, 12))
            victim = self._dice.choice(("gateway", "sidecar", "nats"))
            self.kills[victim] += 1
            if victim == "gateway":
                world.gateway.stop(signal.SIGKILL)
                world.gateway.start()
            elif victim == "sidecar":
                world.sidecar.kill()
                world.sidecar.start(wait=False)
            else:
                world.nats.kill()
                world.nats.start()

    def _has_got_on(self) -> bool:
        """Whether a call was asked for, answered or made since this was true the last time."""
        states = {one["id"]: (one["state"], one.get("use", "")) for one in every(self._world)}
        before, self._states = self._states, states
        return states != before or self.over.is_set()

    def _connected(self) -> bool:
        return bool(self._world.health()["plugin"]["connected"])


def every(world: Asking) -> list[dict[str, Any]]:
    """All approvals, whatever became of them."""
    status, found = world.call("GET", "/api/approvals?limit=1000&state=all")
    assert status == 200, found
    return list(found["approvals"])


def test_each_approved_call_runs_at_most_once_and_none_is_lost(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    print(f"seed {SEED} (CHAOS_SEED={SEED} repeats it)")
    world = Asking(tmp_path, VERSION, CONFIG, ROOMY)
    marks: dict[str, Path] = {}
    with world.working():
        for number in range(SESSIONS):
            pattern, target = f"agent.events.custom.s{number}", f"agent:main:s{number}"
            world.route(f"s{number}", pattern, target, template=TEMPLATE, guard="ask", flow={"batch": {"size": 1}})
        with Killer(world, dice) as killer:
            for number in range(COUNT):
                mark, command = world.appending()
                marks[command] = mark
                until_answered("an event", lambda n=number, c=command: _publish(world, n, c))
            answered = _answer_all(world, set(marks))
        world.sidecar.wait_up()
        wait_until(lambda: _all_over(world, answered), 300, f"seed {SEED}: the end of each approval")
        world.settle(5)
        found = {one["id"]: one for one in every(world)}
        ran = {command: lines(mark) for command, mark in marks.items()}
        uses = Counter(found[number]["use"] for number in answered)
        print(f"{COUNT} calls, kills {dict(killer.kills)}, uses {dict(uses)}, ran {dict(Counter(ran.values()))}")
        assert max(ran.values()) <= 1, f"seed {SEED}: {ran}"
        for number in answered:
            one = found[number]
            times = lines(marks[json.loads(one["arguments"])["command"]])
            assert one["use"] != "done" or times == 1, f"seed {SEED}: {one} ran {times} times"
            assert one["use"] != "unused" or times == 0, f"seed {SEED}: {one} ran {times} times"
        assert killer.kills.total() >= KILLS


def _publish(world: Asking, number: int, command: str) -> None:
    """As a stranger, over NATS; again after a publication whose answer was lost it is no second event."""
    text = f"!call exec {json.dumps({'command': command})}"
    body = json.dumps({"text": text}).encode()
    subject = f"agent.events.custom.s{number % SESSIONS}"
    try:
        answer = jetstream.publish(world.nats, subject, body, {"Nats-Msg-Id": f"call-{number}"})
    except (nats.errors.Error, TimeoutError) as error:
        raise AssertionError(error) from None
    assert answer.get("seq"), answer


def _answer_all(world: Asking, commands: set[str]) -> set[int]:
    """Approve each call once it is asked for; the approvals' numbers. Fails when a call is never asked for."""
    answered: dict[str, int] = {}
    deadline = time.monotonic() + 400 + 30 * COUNT
    while commands - answered.keys():
        assert time.monotonic() < deadline, f"seed {SEED}: never asked for: {commands - answered.keys()}"
        time.sleep(0.3)
        for one in until_answered("the list", lambda: every(world)):
            command = json.loads(one["arguments"])["command"]
            if one["state"] != "pending" or one.get("asking"):
                continue
            if (before := answered.get(command)) is not None:
                # Killed while the call ran, and the turn that made it is delivered again: the operator is told, and
                # lets it run no second time.
                assert one["earlier"]["id"] == before, f"seed {SEED}: {one}"
                until_answered("an answer", lambda number=one["id"]: _answer(world, number, "deny"))
                continue
            until_answered("an answer", lambda number=one["id"]: _answer(world, number, "approve"))
            answered[command] = one["id"]
    return set(answered.values())


def _answer(world: Asking, number: int, what: str) -> None:
    status, found = world.call("POST", f"/api/approvals/{number}/{what}", {})
    assert status in (200, 409), found  # 409: a first try whose answer was lost


def _all_over(world: Asking, numbers: set[int]) -> bool:
    """Whether nothing is under way, and of each call it is known what became of it, or that nobody can know (begun)."""
    counts = world.states()
    if counts["pending"] + counts["sending"] + counts["failed"]:
        return False
    ends = ("done", "failed", "unused", "begun")
    return all(one.get("use") in ends for one in every(world) if one["id"] in numbers)
