"""Approvals that wait, on real Gateways: refused, kept, answered, and then made once in a turn of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.test_guard import CONFIG, TEMPLATE
from tests.gateway.world import Marked
from tests.support import jetstream
from tests.support.inbound import ROOMY
from tests.support.processes import wait_until
from tests.support.releases import newest_first

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(500)]
_numbers = count(1)


class Asking(Marked):
    """A world whose agents want what strangers write, and an operator who answers."""

    def wanted(self, subject: str, command: str) -> None:
        """A stranger's event that makes the agent want to run a command."""
        line = f"!call exec {json.dumps({'command': command})}"
        jetstream.publish(self.nats, f"agent.events.custom.{subject}", json.dumps({"text": line}).encode())

    def appending(self) -> tuple[Path, str]:
        """A file, and a command that adds a line to it: how often it ran can be counted."""
        mark = self.marks / f"{next(_numbers)}"
        return mark, f"echo ran >> {mark}"

    def approvals(self, state: str = "pending") -> list[dict[str, Any]]:
        """Newest first."""
        return list(self.call("GET", f"/api/approvals?limit=1000&state={state}")[1]["approvals"])

    def kept(self, number: int = 1) -> list[dict[str, Any]]:
        """Wait until so many calls can be answered."""

        def found() -> list[dict[str, Any]]:
            all_ = self.approvals()
            return all_ if len(all_) >= number and not any(one.get("asking") for one in all_) else []

        return list(wait_until(found, 120, "a call that is kept"))

    def answer(self, number: int, what: str = "approve", **body: Any) -> dict[str, Any]:
        """Answer, and fail unless that counts."""
        status, found = self.call("POST", f"/api/approvals/{number}/{what}", body)
        assert status == 200, found
        return dict(found)

    def used(self, number: int) -> str:
        """Wait until an approved call has ended; how."""

        def over() -> str:
            use = str(self.call("GET", f"/api/approvals/{number}")[1].get("use", ""))
            return use if use in ("done", "failed", "unused") else ""

        return str(wait_until(over, 120, f"the end of approval {number}"))


def lines(mark: Path) -> int:
    """How often a command ran."""
    return len(mark.read_text().splitlines()) if mark.exists() else 0


@pytest.fixture(scope="module", params=newest_first("2026.9.6", "2026.6.11", "2026.3.1"))
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    one = Asking(tmp_path_factory.mktemp("approvals"), request.param, CONFIG, ROOMY)
    with one.working():
        yield one


@pytest.mark.parametrize("kind", ["session", "agent"])
def test_refused_kept_approved_and_then_run_exactly_once(world: Asking, kind: str) -> None:
    target: Any = f"agent:main:{kind}" if kind == "session" else {"kind": "agent", "agentId": "main"}
    world.route(kind, f"agent.events.custom.{kind}", target, template=TEMPLATE, guard="ask")
    mark, command = world.appending()
    world.wanted(kind, command)
    one = world.kept()[0]
    assert json.loads(one["arguments"])["command"] == command
    assert (one["agent"], one["route"], one["tool"], len(one["events"])) == ("main", kind, "exec", 1)
    world.settle()
    assert lines(mark) == 0
    world.answer(one["id"])
    assert world.used(one["id"]) == "done"
    assert lines(mark) == 1
    world.wanted(kind, command)  # the same call again is another one
    again = world.kept()[0]
    assert again["id"] != one["id"]
    world.answer(again["id"], "deny")
    world.settle()
    assert lines(mark) == 1
    assert world.approvals() == []


def test_always_needs_no_answer_the_next_time(world: Asking) -> None:
    world.route("always", "agent.events.custom.always", "agent:main:always", template=TEMPLATE, guard="ask")
    mark = world.marks / "always"
    world.wanted("always", f"touch {mark}")
    one = world.kept()[0]
    found = world.answer(one["id"], always=True)
    assert found["always"] == f"exec(touch {mark})"
    assert world.used(one["id"]) == "done"
    assert mark.exists()
    mark.unlink()
    # 2026.3 knows a turn by its session, where the first delivery still rules for a while.
    assert world.call("PATCH", "/api/routes/always", {"target": "agent:main:later"})[0] == 200
    world.wanted("always", f"touch {mark}")
    wait_until(mark.exists, 120, "the call")
    world.wanted("always", f"touch {mark}2")
    other = world.kept()[0]
    world.answer(other["id"], "deny")
    assert not Path(f"{mark}2").exists()
