"""OpenClaw's own prompt and our approvals are one: on a real 2026.9 Gateway with somebody there whom it can ask."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from openclaw_nats.demo.gateway_client import connected
from tests.gateway.test_approvals import Asking, lines
from tests.gateway.test_guard import CONFIG, TEMPLATE
from tests.support import jetstream
from tests.support.inbound import ROOMY
from tests.support.processes import wait_until

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(400)]
SECONDS = 120


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    folder = tmp_path_factory.mktemp("prompts")
    one = Asking(folder, "2026.9.6", json.loads(json.dumps(CONFIG)), ROOMY)
    one.marks = folder / "marks"
    one.marks.mkdir()
    with one.working():
        yield one


def guarded(world: Asking, name: str) -> str:
    """A session in which something from outside has left a command running: turns of yours there are guarded, too.

    Only these are asked about: OpenClaw has nobody to ask for a turn that the sidecar has ordered.
    """
    session = f"agent:main:{name}"
    how = {"template": TEMPLATE, "tools": ["exec(sleep 90)"], "guard": "ask"}
    world.route(name, f"agent.events.custom.{name}", session, **how)
    line = f"!call exec {json.dumps({'command': 'sleep 90', 'background': True})}"
    jetstream.publish(world.nats, f"agent.events.custom.{name}", json.dumps({"text": line}).encode())
    wait_until(lambda: world.call("GET", f"/api/routes/{name}")[1]["counts"]["delivered"], SECONDS, "the delivery")
    return session


def call_of(command: str) -> str:
    """What makes the model call exec."""
    return f"!call exec {json.dumps({'command': command})}"


def asked(world: Asking) -> dict[str, Any]:
    """The call about which OpenClaw asks."""
    found = wait_until(lambda: [one for one in world.approvals() if one.get("asking")], SECONDS, "OpenClaw's prompt")
    return dict(found[0])


@pytest.mark.parametrize(
    ("answer", "body", "state", "ran"),
    [("approve", {}, "approved", 1), ("approve", {"always": True}, "approved", 1), ("deny", {}, "denied", 0)],
)
def test_an_answer_of_ours_ends_the_prompt_of_openclaw(
    world: Asking, answer: str, body: dict[str, Any], state: str, ran: int
) -> None:
    name = f"{answer}{len(body)}"
    session = guarded(world, name)
    mark = world.marks / name
    command = f"touch {mark}"

    async def scenario() -> None:
        async with connected(world.gateway) as client:
            turn = asyncio.create_task(client.chat(call_of(command), session, seconds=150))
            one = await asyncio.to_thread(asked, world)
            assert len(await client.request("plugin.approval.list", {})) == 1
            found = await asyncio.to_thread(world.answer, one["id"], answer, **body)
            assert (found["state"], found["answeredBy"]) == (state, "the API key")
            assert await client.request("plugin.approval.list", {}) == []
            assert await turn == "final"
            if ran:
                assert await asyncio.to_thread(world.used, one["id"]) == "done"
            status, problem = await asyncio.to_thread(world.call, "POST", f"/api/approvals/{one['id']}/deny", {})
            assert (status, "the first answer counts" in problem["detail"]) == (409, True)

    asyncio.run(scenario())
    assert mark.exists() is bool(ran)
    acts = [one for one in world.call("GET", "/api/audit")[1]["records"] if one["act"] == f"approvals.{answer}"]
    assert acts[0]["who"] == "the API key"
    if body:
        assert f"exec({command})" in world.call("GET", f"/api/routes/{name}")[1]["tools"]


def test_an_answer_at_the_prompt_is_first_and_ours_says_so(world: Asking) -> None:
    session = guarded(world, "there")
    mark, command = world.appending()

    async def scenario() -> int:
        async with connected(world.gateway) as client:
            turn = asyncio.create_task(client.chat(call_of(command), session, seconds=150))
            one = await asyncio.to_thread(asked, world)
            [prompt] = await client.request("plugin.approval.list", {})
            answer = {"id": prompt["id"], "kind": "plugin", "decision": "allow-once"}
            assert (await client.request("approval.resolve", answer))["applied"]
            status, problem = await asyncio.to_thread(world.call, "POST", f"/api/approvals/{one['id']}/deny", {})
            assert status == 409, problem
            assert await turn == "final"
            return int(one["id"])

    number = asyncio.run(scenario())
    assert world.used(number) == "done"
    shown = world.call("GET", f"/api/approvals/{number}")[1]
    assert (shown["state"], shown["answeredBy"]) == ("approved", "OpenClaw's own prompt")
    assert lines(mark) == 1
