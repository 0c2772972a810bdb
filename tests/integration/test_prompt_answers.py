"""Answers to approvals about which OpenClaw itself asks: they go to the plugin, and what it says of them counts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import pytest

from tests.support.approvals import SESSION, hand_over, reported
from tests.support.inbound import Bus, running_bus
from tests.support.processes import API_KEY, wait_until

INSTANCE = "prompt-answers"


class Plugin:
    """The plugin's end of the channel."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.connection = HTTPConnection("127.0.0.1", bus.sidecar.port, timeout=30)
        path = f"/api/plugin/channel?instance={INSTANCE}&run=true&wake=true&wraps=plugin"
        self.connection.request("GET", path, headers={"Authorization": f"Bearer {API_KEY}"})
        self.orders: HTTPResponse = self.connection.getresponse()
        assert self.orders.status == 200

    def order(self) -> dict[str, Any]:
        """The next order."""
        while not (line := self.orders.readline()).strip():
            assert line
        return dict(json.loads(line))

    def says(self, order: dict[str, Any], status: str, error: str = "") -> None:
        """What became of an order."""
        result = {"instance": INSTANCE, "key": order["key"], "status": status, "error": error}
        assert self.bus.call("POST", "/api/plugin/results", result)[0] == 204


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    with running_bus(tmp_path_factory.mktemp("prompts")) as one:
        one.route("mail", "agent.events.custom.mail", SESSION, guard="ask", tools=["read"])
        yield one


@pytest.fixture
def plugin(bus: Bus) -> Iterator[Plugin]:
    one = Plugin(bus)
    wait_until(lambda: bus.health()["plugin"]["connected"], 20, "the channel")
    yield one
    one.orders.close()
    one.connection.close()


def asked(bus: Bus) -> tuple[int, dict[str, Any]]:
    report = reported("asked", until=4e12)
    hand_over(bus, report)
    return int(bus.call("GET", "/api/approvals")[1]["approvals"][0]["id"]), report


def answered(
    bus: Bus, number: int, what: str, body: dict[str, Any], meanwhile: Callable[[], None]
) -> tuple[int, dict[str, Any]]:
    """Answer, and do something before the answer's answer comes."""
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(bus.call, "POST", f"/api/approvals/{number}/{what}", body)
        meanwhile()
        return answer.result(60)


@pytest.mark.parametrize(
    ("what", "body", "decision", "word", "state"),
    [
        ("approve", {}, "allow-once", "allowed", "approved"),
        ("approve", {"always": True}, "allow-always", "always", "approved"),
        ("deny", {}, "deny", "denied", "denied"),
    ],
)
def test_an_answer_of_ours_counts_when_openclaw_takes_it(
    bus: Bus, plugin: Plugin, what: str, body: dict[str, Any], decision: str, word: str, state: str
) -> None:
    number, report = asked(bus)

    def takes() -> None:
        order = plugin.order()
        assert (order["op"], order["approval"], order["decision"], order["by"]) == (
            *("answer", report["key"], decision),
            "the API key",
        )
        plugin.says(order, "ok")
        hand_over(bus, {**report, "what": word, "by": order["by"]})

    status, found = answered(bus, number, what, body, takes)
    assert (status, found["state"], found["answeredBy"]) == (200, state, "the API key")
    assert "turn" not in found  # the call that waits is made itself
    acts = [one for one in bus.call("GET", "/api/audit")[1]["records"] if one.get("about") == f"approval {number}"]
    assert [(one["act"], one["who"]) for one in acts] == [(f"approvals.{what}", "the API key")]
    if body:
        assert found["always"] == report["rule"]
        assert report["rule"] in bus.call("GET", "/api/routes/mail")[1]["tools"]


def test_an_answer_at_the_prompt_that_was_first_counts_and_ours_says_so(bus: Bus, plugin: Plugin) -> None:
    number, report = asked(bus)

    def is_late() -> None:
        plugin.says(plugin.order(), "late")
        hand_over(bus, {**report, "what": "denied"})

    status, problem = answered(bus, number, "approve", {}, is_late)
    assert (status, "was denied by OpenClaw's own prompt" in problem["detail"]) == (409, True)


def test_an_answer_that_openclaw_does_not_take_changes_nothing(bus: Bus, plugin: Plugin) -> None:
    number, report = asked(bus)
    status, problem = answered(
        bus, number, "approve", {}, lambda: plugin.says(plugin.order(), "refused", "the Gateway has no open prompts")
    )
    assert status == 409
    assert "does not take this answer: the Gateway has no open prompts" in problem["detail"]
    assert bus.call("GET", f"/api/approvals/{number}")[1]["state"] == "pending"
    hand_over(bus, {**report, "what": "refused"})
    assert bus.call("POST", f"/api/approvals/{number}/deny", {})[0] == 200


def test_always_is_refused_before_anybody_is_asked(bus: Bus, plugin: Plugin) -> None:
    report = reported("asked", until=4e12, rule="")
    hand_over(bus, report)
    number = bus.call("GET", "/api/approvals")[1]["approvals"][0]["id"]
    status, problem = bus.call("POST", f"/api/approvals/{number}/approve", {"always": True})
    assert (status, "always is not possible" in problem["detail"]) == (400, True)
    hand_over(bus, {**report, "what": "denied"})
