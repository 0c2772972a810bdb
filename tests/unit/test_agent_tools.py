"""Agents' tools: what is an agent's own, the operator's limits; plugin, sidecar and docs know the same tools."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from openclaw_nats.agent_tools import publishing, scheduling, subscriptions
from openclaw_nats.agent_tools.caller import Caller
from openclaw_nats.agent_tools.limits import Limits
from openclaw_nats.agent_tools.toolbox import Toolbox
from openclaw_nats.contract.tools import TOOLS
from openclaw_nats.demo.provision import cache_dir, provision_node
from openclaw_nats.errors import InvalidEvent, InvalidSubject, NotAllowed
from openclaw_nats.events.makers import agent_made, maker_of
from openclaw_nats.events.subjects import GATEWAY_OWN, covers, matches_any
from openclaw_nats.schedules.names import own_subject
from openclaw_nats.settings import REGISTRY, changed, load, value_of

ROOT = Path(__file__).resolve().parent.parent.parent
MAIN = Caller(agent_id="main", session_key="agent:main:main")
PEER = Caller(agent_id="main", session_key="agent:main:telegram:direct:1001")


def from_plugin(expression: str) -> Any:
    """A value of the plugin's modules as JSON."""
    node = provision_node(cache_dir(), lambda what, seconds: None) / "bin" / "node"
    script = (
        'import { TOOLS } from "./plugin/tool-list.js"; import { SUBJECTS } from "./plugin/subject-list.js";'
        f"console.log(JSON.stringify({expression}));"
    )
    done = subprocess.run([str(node), "--input-type=module", "-e", script], cwd=ROOT, capture_output=True, check=True)
    return json.loads(done.stdout)


def limits(tmp_path: Path, **variables: str) -> Limits:
    return Limits.from_settings(load(tmp_path, variables))


def test_plugin_and_sidecar_have_the_same_tools_with_the_same_parameters() -> None:
    tools = {tool["name"]: tool["parameters"] for tool in from_plugin("TOOLS")}
    nothing: Any = None
    box = Toolbox(
        nothing,
        publishing.Publishing(nothing, nothing, nothing, nothing, ""),
        subscriptions.Subscriptions(nothing, nothing),
        scheduling.Scheduling(nothing, nothing, nothing, "UTC"),
    )
    assert list(tools) == list(box.tools)
    for name, schema in tools.items():
        fields = msgspec.structs.fields(TOOLS[name])
        assert set(schema["properties"]) == {field.encode_name for field in fields}, name
        assert set(schema["required"]) == {field.encode_name for field in fields if field.required}, name


def test_every_tool_is_in_the_docs_and_the_skill_names_no_other() -> None:
    names = {tool["name"] for tool in from_plugin("TOOLS")}
    page = (ROOT / "docs" / "agents.md").read_text()
    assert {name for name in names if f"`{name}`" in page} == names
    skill = (ROOT / "plugin" / "skills" / "nats-events" / "SKILL.md").read_text()
    assert set(re.findall(r"nats_[a-z_]+", skill)) <= names


def test_the_calls_in_the_skill_are_valid() -> None:
    skill = (ROOT / "plugin" / "skills" / "nats-events" / "SKILL.md").read_text()
    calls = re.findall(r"^    (nats_[a-z_]+) (\{.*\})$", skill, flags=re.MULTILINE)
    assert len(calls) >= 6
    for name, given in calls:
        msgspec.convert(json.loads(given), TOOLS[name])


async def test_what_the_gateway_itself_tells_is_not_for_agents(tmp_path: Path) -> None:
    for one in from_plugin("SUBJECTS"):
        pattern = f"agent.events.{one['subject']}"
        if one["subject"] == "cron.*":
            pattern = "agent.events.cron.started"  # jobs of ours share the space: names.TAKEN keeps them apart
        assert any(covers(own, pattern) for own in GATEWAY_OWN), pattern
    assert not matches_any(GATEWAY_OWN, "agent.events.custom.x")
    found = limits(tmp_path)
    own = ("tool.exec.failed", "bus.loop_stopped", "cron.finished", "expectation.missed.x", "dlq.custom.x")
    for subject in (f"agent.events.{one}" for one in own):
        with pytest.raises(NotAllowed, match="Gateway itself"):
            await found.check_publish("main", subject)
    assert await found.check_publish("main", "agent.events.custom.x") == "agent.events.custom.x"
    with pytest.raises(InvalidSubject):
        await found.check_publish("main", "agent.events.custom.*")


async def test_the_operators_schedules_and_other_agents_have_subjects_of_their_own(tmp_path: Path) -> None:
    found = limits(tmp_path)

    async def scheduled() -> frozenset[str]:
        return frozenset({"agent.events.custom.backup"})

    found.scheduled_subjects = scheduled
    for subject in ("agent.events.cron.morning", "agent.events.timer.tea", "agent.events.custom.backup"):
        with pytest.raises(NotAllowed, match="operator's cron jobs and timers"):
            await found.check_publish("main", subject)
    own = own_subject("main", "timer", "tea o'clock")
    assert await found.check_publish("main", own) == own
    for other in ("ops", "mai", "main2"):
        with pytest.raises(NotAllowed, match="another agent's"):
            await found.check_publish(other, own)


@pytest.mark.parametrize(
    ("caller", "target", "session"),
    [
        (MAIN, None, "agent:main:main"),
        (MAIN, "main", "agent:main:main"),
        (MAIN, "alarms", "agent:main:alarms"),
        (MAIN, {"sessionKey": "agent:main:Alarms"}, "agent:main:alarms"),
        (PEER, None, "agent:main:telegram:direct:1001"),
        (PEER, "agent:main:telegram:direct:1001", "agent:main:telegram:direct:1001"),
        (PEER, "main", "agent:main:main"),
        (Caller(agent_id="ops"), None, "agent:ops:main"),
    ],
)
def test_targets_that_are_an_agents_own(caller: Caller, target: Any, session: str) -> None:
    assert caller.session_for(target)["sessionKey"] == session


@pytest.mark.parametrize("target", ["agent:main", "isolated", {"agentId": "main"}])
def test_a_turn_of_its_own(target: Any) -> None:
    assert MAIN.session_for(target) == {"kind": "agent", "agentId": "main"}


@pytest.mark.parametrize(
    ("caller", "target"),
    [
        (MAIN, "agent:ops:main"),
        (MAIN, "agent:ops"),
        (MAIN, {"agentId": "ops"}),
        (MAIN, "agent:main:telegram:direct:1001"),
        (PEER, "agent:main:telegram:direct:1002"),
        (PEER, "telegram:direct:1002"),
        (MAIN, "agent:main:subagent:x"),
        (MAIN, 5),
        (MAIN, "agent::main"),
    ],
)
def test_targets_that_are_not(caller: Caller, target: Any) -> None:
    with pytest.raises(NotAllowed):
        caller.session_for(target)


def test_a_mark_can_not_be_forged_by_a_session_key() -> None:
    for session in ("agent:ops:x", "", "agent:ops:my notes", "agent:ops:x in agent:main:main", "agent:main:main"):
        other = Caller(agent_id="ops", session_key=session)
        assert maker_of(other.mark) == other.maker
        assert other.maker.may_change(maker_of(other.mark))
        assert not MAIN.maker.may_change(maker_of(other.mark))
    assert maker_of("") is None
    assert not MAIN.maker.may_change(None)
    assert not MAIN.maker.may_change(maker_of("agent:main2 in agent:main2:main"))
    for bad in ({"agent_id": "main in agent"}, {"session_key": "a\nb"}, {"session_key": "x" * 2049}):
        with pytest.raises(InvalidEvent):
            Caller(**bad)


GROUP = Caller(agent_id="main", session_key="agent:main:telegram:group:-100")
NOTES = Caller(agent_id="main", session_key="agent:main:my notes")


def test_what_one_conversation_made_only_it_and_the_main_session_may_change() -> None:
    for one in (PEER, GROUP, NOTES):
        assert one.maker.may_change(one.maker)
        assert MAIN.maker.may_change(one.maker)
        assert one.maker.may_change(MAIN.maker) is (one is NOTES)  # plain sessions are all the user's own
    assert not PEER.maker.may_change(GROUP.maker)


@pytest.mark.parametrize(
    ("event", "seen_by"),
    [
        ({"subject": "agent.events.custom.x"}, {"main", "notes", "peer", "group"}),
        ({"subject": "agent.events.gateway.startup", "gatewayid": "other"}, {"main", "notes", "peer", "group"}),
        ({"subject": "agent.events.message.received"}, set()),
        ({"subject": "agent.events.message.received", "agentid": "main"}, {"main", "notes"}),
        ({"subject": "agent.events.message.received", "sessionkey": MAIN.session_key}, {"main", "notes"}),
        ({"subject": "agent.events.message.received", "sessionkey": "Agent:Main:MAIN"}, {"main", "notes"}),
        ({"subject": "agent.events.message.received", "sessionkey": MAIN.session_key, "gatewayid": "b"}, set()),
        ({"subject": "agent.events.tool.exec.failed", "agentid": "main", "sessionkey": PEER.session_key}, {"peer"}),
        ({"subject": "agent.events.tool.exec.failed", "agentid": "ops", "sessionkey": PEER.session_key}, set()),
        (
            {"subject": "agent.events.agents.main.timer.pill", "sessionkey": PEER.session_key, "madeby": PEER.mark},
            {"peer"},
        ),
        (
            {
                "subject": "agent.events.timer.pill",
                "agentid": "main",
                "sessionkey": PEER.session_key,
                "source": "openclaw://a/timer",
            },
            {"peer"},
        ),
        (
            {
                "subject": "agent.events.custom.report",
                "sessionkey": "agent:ops:main",
                "agentid": "ops",
                "madeby": "agent:ops",
            },
            {"main", "notes", "peer", "group"},
        ),
    ],
)
def test_what_an_agent_may_see(event: dict[str, Any], seen_by: set[str]) -> None:
    callers = {"main": MAIN, "notes": NOTES, "peer": PEER, "group": GROUP}
    assert {name for name, one in callers.items() if one.maker.may_see("a", event)} == seen_by


def test_rooms_whose_ids_differ_by_case_are_two() -> None:
    rooms = [Caller(agent_id="main", session_key=f"agent:main:matrix:channel:!{name}:x") for name in ("Ab", "aB")]
    assert not rooms[0].maker.may_change(rooms[1].maker)
    assert Caller(agent_id="main", session_key="Agent:MAIN:Main").session_key == "agent:main:main"


@pytest.mark.parametrize(
    ("event", "mark"),
    [
        ({"madeby": "agent:main in agent:main:main"}, "agent:main in agent:main:main"),
        ({"source": "openclaw://a/agent/main", "agentid": "main"}, "agent:main"),  # as 0.1.0 wrote it
        ({"source": "openclaw://a/cron", "agentid": "main", "sessionkey": "s"}, "agent:main in s"),
        ({"source": "openclaw://a/cron"}, ""),
        ({"source": "openclaw://a", "agentid": "main"}, ""),
        ({"madeby": 5, "source": 5, "agentid": 5}, ""),
    ],
)
def test_who_made_an_event(event: dict[str, Any], mark: str) -> None:
    assert agent_made(event) == mark


def test_publishes_in_a_minute_are_limited_each_agent_for_itself(tmp_path: Path) -> None:
    found = limits(tmp_path, OPENCLAW_NATS_AGENTS_PUBLISHES_PER_MINUTE="3")
    now = [1000.0]
    found.clock = lambda: now[0]
    for _ in range(3):
        found.count_publish("main")
    with pytest.raises(NotAllowed, match="limit") as told:
        found.count_publish("main")
    assert "Wait 60 seconds" in told.value.hint
    found.count_publish("ops")
    now[0] += 60
    found.count_publish("main")


def test_requests_are_off_until_subjects_are_allowed(tmp_path: Path) -> None:
    with pytest.raises(NotAllowed, match="off"):
        limits(tmp_path).check_request("services.x")
    found = limits(tmp_path, OPENCLAW_NATS_AGENTS_REQUEST_SUBJECTS="services.>,lights.*")
    assert found.check_request("services.a.b") == "services.a.b"
    for injected in (
        "services.x 0\r\n\r\nPUB a",
        "services.a b",
        "services.\t",
        "services.*",
        "services.>",
        "services..a",
    ):
        with pytest.raises(InvalidSubject):
            found.check_request(injected)
    with pytest.raises(InvalidSubject):
        found.check_request("services.x\x00")
    for wrong in ("service", "$JS.API.INFO", "lights.a.b", 5, ""):
        with pytest.raises(NotAllowed):
            found.check_request(wrong)


@pytest.mark.parametrize("value", ["$JS.>", "_INBOX.>", ">", "*.x", "a b", "a..b", "a.>.b"])
def test_no_pattern_for_requests_reaches_nats_own_spaces(tmp_path: Path, value: str) -> None:
    with pytest.raises(Exception, match=r"agents\.request_subjects"):
        limits(tmp_path, OPENCLAW_NATS_AGENTS_REQUEST_SUBJECTS=json.dumps([value]))


def test_switched_off(tmp_path: Path) -> None:
    with pytest.raises(NotAllowed, match="switched"):
        limits(tmp_path, OPENCLAW_NATS_AGENTS_TOOLS="false").check_enabled()


def test_every_setting_for_agents_makes_a_difference(tmp_path: Path) -> None:
    settings = load(tmp_path, {})
    others: dict[type, Callable[[Any], object]] = {
        bool: lambda value: not value,
        str: lambda value: f"not {value}",
        tuple: lambda value: ("other.subject", *value),
    }
    for one in REGISTRY:
        if one.name.startswith("agents.") and one.name != "agents.budget_share":  # test_agents.py holds that one
            value = value_of(settings, one.name)
            other = changed(settings, {one.name: others.get(type(value), lambda value: value + 1)(value)})
            assert Limits.from_settings(other) != Limits.from_settings(settings), one.name
