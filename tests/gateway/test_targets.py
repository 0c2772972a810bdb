"""Targets on a real Gateway: the very session that is meant, refused when nothing could answer, named when it goes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openclaw_nats.demo.gateway_client import connected
from tests.gateway.test_doctor import Patient
from tests.gateway.test_setup import running
from tests.support.processes import wait_until

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(900)]

KEYS = {
    "matrix": "agent:main:matrix:channel:!RoomAbC:Example.org",
    "thread": "agent:main:matrix:group:!RoomAbC:Example.org:thread:$EvAbC",
    "signal": "agent:main:signal:group:AbCd+/==",
    "spaces": "agent:main:my own notes",
    "long": "agent:main:" + "long-" * 90 + "end",
}


class Talking(Patient):
    """An installation whose sessions are spoken to as OpenClaw's own clients do."""

    def say(self, text: str, session: str) -> None:
        """Run a turn in a session."""

        async def one() -> None:
            async with connected(self.gateway) as client:
                await client.turn(text, session)

        asyncio.run(one())

    def transcript(self, session: str) -> str:
        """What stands in a session."""

        async def read() -> Any:
            async with connected(self.gateway) as client:
                return await client.request("chat.history", {"sessionKey": session, "limit": 50})

        return json.dumps(asyncio.run(read()))

    def delivered(self, name: str, target: str) -> dict[str, Any]:
        """Add a route, publish an event with the marker `landed-NAME` on it; its receipt."""
        self.run("routes", "add", name, f"agent.events.custom.{name}", target)
        self.run("publish", f"agent.events.custom.{name}", json.dumps({"marker": f"landed-{name}"}))

        def receipt() -> dict[str, Any] | None:
            found = self.json("receipts")["receipts"]
            return next((dict(one) for one in found if one["route"] == name), None)

        return dict(wait_until(receipt, 90, f"the receipt of {name}"))


def started(folder: Path, config: dict[str, Any]) -> contextlib.AbstractContextManager[Talking]:
    """A running Gateway with this configuration, and us set up on it."""
    install = Talking(folder, "2026.9.6")
    install.gateway.config = config

    @contextlib.contextmanager
    def lent() -> Iterator[Talking]:
        with contextlib.contextmanager(running)(install):
            out = install.run("setup", "--yes", *install.ports)
            assert "sends its events" in out, out
            yield install

    return lent()


@pytest.fixture(scope="module")
def install(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talking]:
    agents = {"list": [{"id": "main", "default": True}, {"id": "ops"}]}
    with started(tmp_path_factory.mktemp("targets"), {"agents": agents}) as one:
        yield one


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("mian", "Did you mean 'main'?"),
        ("agent:nosuch", "no agent 'nosuch'"),
        ("agent:nosuch:main", "no agent 'nosuch'"),
        ("agent:opps:main", "Did you mean 'ops'?"),
        ("wake:opps", "Did you mean 'ops'?"),
        ("ops", "agent:ops:main"),
    ],
)
def test_a_target_that_nothing_can_answer_is_refused_with_the_nearest(install: Talking, target: str, said: str) -> None:
    with pytest.raises(AssertionError) as refused:
        install.run("routes", "add", "wrong", "agent.events.custom.wrong", target)
    assert said in str(refused.value)
    assert "exit code 2" in str(refused.value)
    assert install.json("routes")["routes"] == []


@pytest.mark.parametrize("name", KEYS)
def test_an_event_lands_in_the_very_session_that_its_key_names(install: Talking, name: str) -> None:
    key = KEYS[name]
    install.say(f"first-{name}", key)
    assert install.delivered(name, key)["outcome"] == "ok"
    install.run("routes", "remove", name)
    transcript = install.transcript(key)
    assert f"first-{name}" in transcript
    assert f"landed-{name}" in transcript
    ends = [one for one in install.events() if one["subject"] == "agent.events.agent.run_ended"]
    assert len({(one["sessionkey"], one.get("sessionid")) for one in ends[-2:]}) == 1


def test_a_wake_up_is_a_turn_in_the_main_session(install: Talking) -> None:
    assert install.delivered("wake", "wake:ops")["outcome"] == "ok"
    install.run("routes", "remove", "wake")
    assert "landed-wake" in install.transcript("agent:ops:main")


def test_doctor_names_a_route_whose_agent_is_gone(install: Talking) -> None:
    install.run("routes", "add", "gone", "agent.events.custom.gone", "agent:ops:main")
    install.gateway.stop()
    config = json.loads(install.gateway.config_path.read_text())
    config["agents"] = {**config["agents"], "list": [{"id": "main", "default": True}]}
    config["agents"].pop("entries", None)
    install.gateway.config_path.write_text(json.dumps(config))
    install.gateway.start()
    wait_until(lambda: install.status()["delivery"]["unanswerable"], 60, "the sidecar to know of it")
    found = install.problem("targets")
    assert "'gone'" in found["text"]
    assert "no agent 'ops'" in found["text"]
    assert "routes edit gone --target" in found["fix"]
    install.run("routes", "edit", "gone", "--target", "main")
    wait_until(lambda: not install.status()["delivery"]["unanswerable"], 30, "the target to be right")
    assert "targets" not in install.doctor()


def test_with_one_session_for_all_every_main_session_is_that_one(tmp_path: Path) -> None:
    with started(tmp_path, {"session": {"scope": "global"}}) as install:
        install.say("first-global", "global")
        assert install.delivered("one", "main")["outcome"] == "ok"
        assert install.delivered("two", "global")["outcome"] == "ok"
        transcript = install.transcript("global")
        assert all(marker in transcript for marker in ("first-global", "landed-one", "landed-two"))
