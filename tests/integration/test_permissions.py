"""A NATS user that may do all but one thing: that one is named, nothing is healthy that is not, nothing spins."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.inbound import Bus
from tests.support.processes import NATS_PASSWORD, wait_until

_MAY_NOT = "NATS does not let this user publish on "


class Limited(Bus):
    """A bus whose NATS user may not do one thing."""

    def limit(self, permissions: str) -> None:
        """Before the start."""
        config = self.nats.config
        user = f'user: "openclaw-nats", password: "{NATS_PASSWORD}"'
        users = f"users: [{{ {user}, permissions: {{ {permissions} }} }}]"
        config.write_text(config.read_text().replace(user, users))

    def begin(self) -> None:
        """Start, without waiting for what can't come; with a route and an event if that is possible."""
        self.nats.start()
        self.stub.start()
        self.sidecar.start(wait=False)
        wait_until(lambda: self.sidecar.get("/api/health")[0], what="the sidecar")
        wait_until(lambda: self.part("nats")["reachable"] or self.part("nats")["lastError"], what="what NATS says")
        route = {"name": "r", "pattern": "agent.events.custom.>", "target": {"kind": "webhook", "url": self.stub.url}}
        self.call("POST", "/api/routes", route)
        self.sidecar.publish("agent.events.custom.x", {"n": 1})

    def part(self, name: str) -> dict[str, Any]:
        """A part of the health report."""
        return dict(self.sidecar.get("/api/health")[1][name])


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Limited]:
    found = Limited(tmp_path)
    yield found
    found.close()


@pytest.mark.parametrize(
    ("denied", "part", "named"),
    [
        ("$JS.API.STREAM.INFO.>", "nats", "$JS.API.STREAM.INFO.agent_"),
        ("$JS.API.STREAM.CREATE.>", "nats", "$JS.API.STREAM.CREATE.agent_"),
        ("agent.events.>", "nats", "agent.events.custom.x"),
        ("agent.leases.>", "delivery", "agent.leases."),
        ("$JS.API.STREAM.MSG.GET.>", "delivery", "$JS.API.STREAM.MSG.GET.agent_leases"),
        ("$JS.API.CONSUMER.CREATE.>", "delivery", "$JS.API.CONSUMER.CREATE.agent_events."),
        ("$JS.API.CONSUMER.MSG.NEXT.>", "delivery", "$JS.API.CONSUMER.MSG.NEXT.agent_events."),
        ("$JS.ACK.>", "delivery", "$JS.ACK.>"),
        ("$JS.API.STREAM.PURGE.>", "schedules", "$JS.API.STREAM.PURGE.agent_schedules"),
    ],
)
def test_each_permission_that_is_missing_is_named_where_it_is_missed(
    one: Limited, denied: str, part: str, named: str
) -> None:
    one.limit(f'publish: {{ allow: [">"], deny: ["{denied}"] }}')
    one.begin()
    wait_until(lambda: _MAY_NOT + named in str(one.part(part)["lastError"]), 20, f"that {part} names {named}")
    if part != "schedules":
        assert one.part(part)["reachable"] is False
    assert one.sidecar.process is not None
    process = psutil.Process(one.sidecar.process.pid)
    before = sum(process.cpu_times()[:2])
    for _ in range(8):  # and goes on saying so
        time.sleep(0.5)
        assert _MAY_NOT + named in str(one.part(part)["lastError"])
    assert sum(process.cpu_times()[:2]) - before < 2.0
    log = (one.sidecar.home / "logs" / "sidecar.log").read_text()
    assert log.lower().count("permissions violation") <= 4


def test_a_user_that_may_have_no_answers_is_named_at_once(one: Limited) -> None:
    one.limit('subscribe: { deny: ["_INBOX.>"] }')
    one.begin()
    wait_until(lambda: "_INBOX.>, where answers come" in str(one.part("nats")["lastError"]), 10, "the inbox's name")
    status, answer = one.sidecar.publish("agent.events.custom.x", 1)
    assert (status, "_INBOX.>" in answer["detail"]) == (503, True)
