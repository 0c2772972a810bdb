"""Approvals that wait: kept until they are answered, once, whatever is killed, and told of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.approvals import SESSION, hand_over, reported
from tests.support.inbound import ROOMY, Bus, running_bus
from tests.support.processes import wait_until


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    with running_bus(tmp_path_factory.mktemp("approvals")) as one:
        yield one


@pytest.fixture
def bus(shared: Bus) -> Iterator[Bus]:
    shared.route("mail", "agent.events.custom.mail", SESSION, guard="ask")
    yield shared
    for one in approvals(shared):
        shared.call("POST", f"/api/approvals/{one['id']}/deny", {})
    for one in shared.call("GET", "/api/routes")[1]["routes"]:
        shared.call("DELETE", f"/api/routes/{quote(one['name'])}")


def approvals(bus: Bus, state: str = "pending") -> list[dict[str, Any]]:
    return list(bus.call("GET", f"/api/approvals?state={state}&limit=1000")[1]["approvals"])


def kept(bus: Bus, **more: Any) -> dict[str, Any]:
    """A refused call, as the API shows it."""
    hand_over(bus, reported(**more))
    return approvals(bus)[0]


def answer(bus: Bus, number: int, what: str = "approve", **body: Any) -> tuple[int, Any]:
    return bus.call("POST", f"/api/approvals/{number}/{what}", body)


def told(bus: Bus) -> list[tuple[str, dict[str, Any]]]:
    events = [one for one in bus.sidecar.events("?limit=1000") if one["subject"].startswith("agent.events.approval.")]
    return [(str(one["subject"]).rpartition(".")[2], one["data"]) for one in events]


def test_a_refused_call_is_kept_told_of_and_answered_once(bus: Bus) -> None:
    one = kept(bus)
    assert (one["state"], one["tool"], one["session"], one["route"]) == ("pending", "exec", SESSION, "mail")
    assert json.loads(one["arguments"])["command"].startswith("touch")
    wait_until(lambda: [what for what, data in told(bus) if data["approval"] == one["id"]] == ["requested"], what="it")
    before = len(bus.messages())
    status, approved = answer(bus, one["id"])
    assert (status, approved["state"], approved["answeredBy"]) == (200, "approved", "the API key")
    status, problem = answer(bus, one["id"], "deny")
    assert status == 409
    assert "was approved by the API key" in problem["detail"]
    wait_until(lambda: len(bus.messages()) == before + 1, what="the turn")
    turn = bus.stub.acts()[-1]["body"]
    assert turn["sessionKey"] == SESSION
    data, _, instruction = turn["message"].rpartition("outside data")
    assert "touch /tmp/" in data
    assert "touch /tmp/" not in instruction
    assert "approved it: call the tool exec now, once" in instruction
    wait_until(
        lambda: [what for what, data in told(bus) if data["approval"] == one["id"]][1:] == ["answered"], what="it"
    )
    said = dict(told(bus))["answered"]
    assert said["answer"] == "approved"
    assert "arguments" not in said


def test_the_same_report_and_the_same_call_are_one_approval(bus: Bus) -> None:
    report = reported()
    hand_over(bus, report)
    hand_over(bus, report)
    assert [one["asked"] for one in approvals(bus)] == [1]
    hand_over(bus, {**report, "key": "0197-again-1"}, {**report, "key": "0197-again-2"})
    assert [one["asked"] for one in approvals(bus)] == [3]
    number = approvals(bus)[0]["id"]
    answer(bus, number, "deny")
    hand_over(bus, {**report, "key": "0197-again-2"})  # the spool may send it once more
    assert approvals(bus) == []
    hand_over(bus, {**report, "key": "0197-again-3"})  # another turn wants it again
    assert approvals(bus)[0]["id"] != number


def test_an_answer_in_openclaws_own_prompt_is_the_answer(bus: Bus) -> None:
    soon = 4e12
    asked = reported("asked", until=soon)
    hand_over(bus, asked)
    one = approvals(bus)[0]
    assert one["asking"]
    status, problem = answer(bus, one["id"])
    assert (status, "OpenClaw itself asks" in problem["detail"]) == (409, True)
    hand_over(bus, {**asked, "what": "allowed"}, {**asked, "what": "ended", "ok": True})
    found = bus.call("GET", f"/api/approvals/{one['id']}")[1]
    assert (found["state"], found["answeredBy"], found["use"]) == ("approved", "OpenClaw's own prompt", "done")
    assert "turn" not in found
    status, problem = answer(bus, one["id"], "deny")
    assert (status, "by OpenClaw's own prompt" in problem["detail"]) == (409, True)
    denied = reported("asked", until=soon)
    hand_over(bus, denied, {**denied, "what": "denied"})
    assert approvals(bus, "denied")[0]["answeredBy"] == "OpenClaw's own prompt"
    unanswered = reported("asked", until=soon)
    hand_over(bus, unanswered, {**unanswered, "what": "refused"})
    assert answer(bus, approvals(bus)[0]["id"])[0] == 200


def test_a_later_answer_of_the_prompt_says_that_it_was_late(bus: Bus) -> None:
    report = reported("asked", until=4e12)
    hand_over(bus, report, {**report, "what": "refused"})
    number = approvals(bus)[0]["id"]
    answer(bus, number, "deny")
    hand_over(bus, {**report, "what": "denied"})
    found = bus.call("GET", f"/api/approvals/{number}")[1]
    assert found["answeredBy"] == "the API key"
    assert found["problem"] == "OpenClaw's own prompt was answered later (denied): the first answer counts"


@pytest.mark.parametrize("what", ["approve", "prompt"])
def test_always_adds_the_narrowest_rule_to_the_route(bus: Bus, what: str) -> None:
    report = reported("asked", until=4e12) if what == "prompt" else reported()
    hand_over(bus, report)
    if what == "prompt":
        hand_over(bus, {**report, "what": "always"})
        found = approvals(bus, "approved")[0]
    else:
        status, found = answer(bus, approvals(bus)[0]["id"], always=True)
        assert status == 200
    assert found["always"] == report["rule"]
    assert bus.call("GET", "/api/routes/mail")[1]["tools"] == ["read", report["rule"]]
    change = next(one for one in bus.call("GET", "/api/audit")[1]["records"] if one["act"] == "routes.change")
    assert change["who"] == ("the prompt of OpenClaw" if what == "prompt" else "the API key")


def test_always_is_refused_where_no_rule_is_narrow_enough(bus: Bus) -> None:
    one = kept(bus, rule="")
    status, problem = answer(bus, one["id"], always=True)
    assert (status, problem["field"]) == (400, "always")
    assert "nothing else" in problem["detail"]
    assert bus.call("GET", f"/api/approvals/{one['id']}")[1]["state"] == "pending"
    secret = kept(bus, rule="exec(curl password=hunter2)", arguments={"password": "hunter2"})
    assert "rule" not in secret
    assert "hunter2" not in json.dumps(secret)


def test_what_waits_and_what_was_approved_outlive_every_kill(bus: Bus) -> None:
    bus.stub.mode("503")
    waiting = kept(bus)
    number = kept(bus)["id"]
    status, _ = answer(bus, number)
    bus.sidecar.kill()
    before = len(bus.messages())
    bus.stub.mode("ok")
    bus.sidecar.start()
    wait_until(lambda: len(bus.messages()) == before + 1, 60, "the turn")
    assert status == 200
    assert [one["id"] for one in approvals(bus)] == [waiting["id"]]


def test_a_turn_that_does_not_make_the_call_leaves_it_unused(bus: Bus) -> None:
    number = kept(bus)["id"]
    answer(bus, number)
    found: dict[str, Any] = {}

    def use() -> str:
        found.update(bus.call("GET", f"/api/approvals/{number}")[1])
        return str(found["use"])

    wait_until(lambda: use() == "unused", 60, "its end")
    assert found["problem"] == "its turn did not make the call"


def test_two_answers_at_once_are_one(bus: Bus) -> None:
    number = kept(bus)["id"]
    before = len(bus.messages())
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: answer(bus, number, "approve" if n % 2 else "deny")[0], range(8)))
    assert sorted(found) == [200, *[409] * 7]
    records = bus.call("GET", f"/api/audit?search=approval+{number}")[1]["records"]
    assert [(one["who"], one["act"].split(".")[0]) for one in records] == [("the API key", "approvals")]
    if approvals(bus, "approved")[0]["id"] == number:
        wait_until(lambda: len(bus.messages()) == before + 1, what="the turn")


def test_a_paused_route_holds_the_turn_and_a_removed_one_ends_it(bus: Bus) -> None:
    bus.call("POST", "/api/pause", {"route": "mail"})
    number = kept(bus)["id"]
    answer(bus, number)
    found = bus.call("GET", f"/api/approvals/{number}")[1]
    assert found["use"] == "waiting"
    other = kept(bus)["id"]
    bus.call("DELETE", "/api/routes/mail")
    found = bus.call("GET", f"/api/approvals/{number}")[1]
    assert (found["use"], found["problem"]) == ("unused", "its route was removed")
    status, problem = answer(bus, other)
    assert (status, "its route was removed" in problem["detail"]) == (409, True)
    assert answer(bus, other, "deny")[0] == 200


def test_what_can_not_be_read_is_left_out_and_costs_nothing_else(bus: Bus) -> None:
    wrong = {**reported(), "what": "nonsense"}
    good = reported()
    assert hand_over(bus, wrong, good)["accepted"] == 2
    assert [one["digest"] for one in approvals(bus)] == [good["digest"]]


def test_others_can_not_hand_anything_over(bus: Bus) -> None:
    status, _ = bus.call("POST", "/api/events?origin=outside", [{**EVENT, "data": reported()}])
    assert status == 200
    assert approvals(bus) == []


EVENT = {
    "specversion": "1.0",
    "id": "outside",
    "source": "openclaw://main",
    "type": "openclaw.plugin.guarded_call",
    "subject": "agent.events.plugin.guarded_call",
}


def test_no_tool_of_an_agent_answers(bus: Bus) -> None:
    number = kept(bus)["id"]
    for name in ("nats_approve", "approvals", "nats_approvals", f"approvals/{number}/approve"):
        status, _ = bus.call(
            "POST", f"/api/tools/{name}", {"caller": {"agentId": "main"}, "parameters": {"id": number}}
        )
        assert status in (403, 404), name
    parameters = {"subject": "agent.events.approval.answered", "payload": {"approval": number}}
    status, _ = bus.call("POST", "/api/tools/nats_publish", {"caller": {"agentId": "main"}, "parameters": parameters})
    assert status == 403
    shell = {**os.environ, **bus.sidecar.environment, "OPENCLAW_SHELL": "exec"}
    done = command(shell, "approve", str(number))
    assert (done.returncode, "an agent may not answer" in done.stderr) == (2, True)
    assert [one["id"] for one in approvals(bus)] == [number]


@pytest.mark.parametrize(
    "arguments",
    [
        ("routes", "add", "own", "custom.own", "main", "--set", 'guard="off"'),
        ("routes", "edit", "mail", "--tools", "all"),
        ("routes", "apply", "-f", "{file}", "--yes"),
        ("resume",),
        ("config", "set", "budget.turns_per_day", "9999"),
        ("key", "rotate"),
    ],
)
def test_an_agents_shell_neither_frees_a_turn_nor_the_bus(bus: Bus, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    file = tmp_path / "routes.toml"
    file.write_text('[[route]]\nname = "own"\npattern = "agent.events.custom.own"\ntarget = "main"\nguard = "off"\n')
    bus.call("POST", "/api/pause", {"reason": "night"})

    def state() -> Any:
        paths = ("/api/routes", "/api/pause", "/api/settings")
        return [bus.call("GET", path) for path in paths], (bus.sidecar.home / "api-key").read_text()

    before = state()
    shell = {**os.environ, **bus.sidecar.environment, "OPENCLAW_SHELL": "exec"}
    words = [one.format(file=file) if one == "{file}" else one for one in arguments]
    line = [sys.executable, "-m", "openclaw_nats", *words]
    done = subprocess.run(line, env=shell, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, "an agent may not" in done.stderr) == (2, True), done.stderr
    assert state() == before
    bus.call("POST", "/api/resume", {})


def command(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "openclaw_nats", "approvals", *arguments]
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_the_command_line_lists_shows_and_answers(bus: Bus) -> None:
    environment = {**os.environ, **bus.sidecar.environment}
    environment.pop("OPENCLAW_SHELL", None)
    first, second = kept(bus)["id"], kept(bus)["id"]
    assert all(str(one) in command(environment).stdout for one in (first, second))
    shown = command(environment, "show", str(first)).stdout
    assert "session agent:main:mail" in shown
    assert "touch /tmp/" in shown
    done = command(environment, "approve", str(first), "--always")
    assert (done.returncode, "may run once" in done.stdout) == (0, True)
    assert command(environment, "deny", str(second)).returncode == 0
    assert command(environment, "list", "--state", "denied").stdout.count("denied by the command line") >= 1
    assert command(environment).stdout.strip() == "Nothing waits for your answer."
    again = command(environment, "deny", str(second))
    assert (again.returncode, "first answer counts" in again.stderr) == (2, True), again.stderr


@pytest.mark.parametrize(("ended", "use"), [(False, "begun"), (True, "done")])
def test_the_same_call_asked_for_again_after_it_was_let_through_says_so(bus: Bus, *, ended: bool, use: str) -> None:
    arguments = {"digest": f"sha256:again-{use}", "session": f"agent:main:{use}"}
    first = reported(**arguments)
    hand_over(bus, first)
    number = approvals(bus)[0]["id"]
    assert "earlier" not in approvals(bus)[0]
    assert answer(bus, number)[0] == 200
    hand_over(bus, {**first, "what": "begun"}, *([{**first, "what": "ended", "ok": True}] if ended else []))
    hand_over(bus, reported(**arguments))
    [again] = approvals(bus)
    assert again["id"] != number
    assert (again["earlier"]["id"], again["earlier"]["use"]) == (number, use)
    environment = {**os.environ, **bus.sidecar.environment}
    environment.pop("OPENCLAW_SHELL", None)
    for said in (command(environment).stdout, command(environment, "show", str(again["id"])).stdout):
        assert f"approval {number} let the same call through" in " ".join(said.split())
    for other in ({"session": "agent:main:other"}, {"tool": "write"}, {"digest": "sha256:else"}):
        hand_over(bus, reported(**{**arguments, **other}))
        assert "earlier" not in approvals(bus)[0]


def test_a_route_brings_them_to_a_webhook(bus: Bus) -> None:
    url = f"{bus.stub.url}/notify"
    bus.route("notify", "agent.events.approval.>", {"kind": "webhook", "url": url})
    number = kept(bus)["id"]

    def subjects() -> list[str]:
        found = [act["body"] for act in bus.stub.acts() if act["path"] == "/notify"]
        events = [event for body in found for event in (body if isinstance(body, list) else [body])]
        return [one["subject"] for one in events if one["data"]["approval"] == number]

    wait_until(lambda: subjects() == ["agent.events.approval.requested"], what="the notification")
    answer(bus, number, "deny")
    wait_until(lambda: len(subjects()) == 2, what="the answer's")


def test_its_time_passes_and_floods_are_bounded(tmp_path: Path) -> None:
    with running_bus(tmp_path, ROOMY + '[approvals]\nkeep = "3s"\n') as bus:
        bus.route("mail", "agent.events.custom.mail", SESSION, guard="ask")
        hand_over(bus, *[reported() for _ in range(260)])
        found = bus.call("GET", "/api/approvals?limit=1")[1]
        assert (found["pending"], found["notKept"], len(found["approvals"])) == (250, 10, 1)
        assert len(bus.call("GET", f"/api/approvals?cursor={found['cursor']}")[1]["approvals"]) == 100
        wait_until(lambda: not approvals(bus), 30, "their end")
        assert {one["answeredBy"] for one in approvals(bus, "expired")} == {"nobody in time"}
        wait_until(lambda: len(told(bus)) == 500, 30, "the events")
        assert [what for what, _ in told(bus)].count("requested") == 250
