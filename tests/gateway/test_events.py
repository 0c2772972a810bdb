"""Every event, from a real Gateway with a scripted model: subjects, fields, exactly once, and nothing private."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openclaw_nats.demo.gateway_client import MAIN, GatewayClient, GatewayError
from openclaw_nats.events.subjects import matches, matches_any
from tests.gateway.world import World, only, subjects
from tests.support.processes import wait_until
from tests.support.telegram import Telegram

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(600)]

VERSION = "2026.9.6"
PRIVATE = "xylophone-in-the-attic"  # stands in prompts, replies, arguments and messages; must never reach the stream
TRACE = r"^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"


@pytest.fixture(scope="module")
def telegram() -> Iterator[Telegram]:
    one = Telegram()
    yield one
    one.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, telegram: Telegram) -> Iterator[World]:
    one = World(tmp_path_factory.mktemp("world"), VERSION, telegram.config)
    one.start()
    yield one
    one.close()


def documented_subjects() -> list[str]:
    """The subjects in the README, as patterns."""
    readme = Path(__file__).parent.parent.parent / "README.md"
    return re.findall(r"^\| `(agent\.events\.[^`]+)` \|", readme.read_text(), flags=re.MULTILINE)


def turn(message: str, session: str = MAIN, key: str = "") -> Any:
    async def scenario(client: GatewayClient) -> None:
        with contextlib.suppress(GatewayError):  # a scripted model failure; the events tell
            await client.turn(message, session, key=key)

    return scenario


def chat(*messages: str, session: str = "agent:main:web", seconds: float = 30) -> Any:
    async def scenario(client: GatewayClient) -> None:
        for message in messages:
            await client.chat(message, session, seconds=seconds)

    return scenario


def call(method: str, **params: Any) -> Any:
    async def scenario(client: GatewayClient) -> None:
        await client.request(method, params)

    return scenario


def test_startup_is_told_once_and_the_plugin_reports(world: World) -> None:
    wait_until(lambda: world.sidecar.get("/api/health")[1]["plugin"]["reachable"], 60, "the plugin's report")
    wait_until(lambda: "gateway.startup" in subjects(world.events()), 60, "the event")
    started = only(world.settle(), "gateway.startup")
    assert started["data"]["port"] == world.gateway.port
    assert started["source"].startswith("openclaw://")
    assert started["gatewayid"]
    plugin = world.sidecar.get("/api/health")[1]["plugin"]
    assert plugin["reachable"] is True
    assert plugin["gatewayVersion"] == VERSION
    assert plugin["conversationAccess"] is True
    assert plugin["problems"] == []


def test_a_turn_with_its_run_session_tokens_and_trace(world: World) -> None:
    events = world.run(turn(f"{PRIVATE}\n!usage 1234 56\n!say {PRIVATE}", key="turn-one"), until="agent.run_ended")
    ended = only(events, "agent.run_ended")
    assert (ended["runid"], ended["agentid"], ended["sessionkey"]) == ("turn-one", "main", MAIN)
    assert ended["sessionid"]
    assert ended["data"]["success"] is True
    assert ended["data"]["durationMs"] > 0
    output = only(events, "llm.output")
    assert output["runid"] == "turn-one"
    assert (output["data"]["usage"]["input"], output["data"]["usage"]["output"]) == (1234, 56)
    model = only(events, "model.call.completed")
    assert model["data"]["durationMs"] >= 0
    assert model["data"]["model"] == "scripted-1"
    traces = {event["traceparent"][:35] for event in (ended, output, model)}
    assert len(traces) == 1
    assert model["agentid"] == "main"


@pytest.mark.parametrize(
    ("name", "arguments", "outcome", "error"),
    [
        ("bus_ok", {"note": PRIVATE}, "completed", None),
        ("bus_throw", {"note": PRIVATE}, "failed", "thrown on purpose"),
        ("bus_soft", {}, "failed", "soft on purpose"),
        ("exec", {"command": f"echo {PRIVATE}"}, "completed", None),
        ("exec", {"command": "exit 3"}, "failed", "exit code 3"),
        ("read", {"path": "/nonexistent/x"}, "failed", ""),
    ],
)
def test_tool_calls(world: World, name: str, arguments: dict[str, str], outcome: str, error: str | None) -> None:
    key = f"tool-{name}-{outcome}"
    events = world.run(turn(f"!call {name} {json.dumps(arguments)}", key=key), until="agent.run_ended")
    told = [subject for subject in subjects(events) if subject.startswith("tool.")]
    assert told == [f"tool.{name}.{outcome}"]
    event = only(events, told[0])
    assert event["type"] == f"openclaw.tool.{outcome}"
    assert (event["runid"], event["agentid"], event["sessionkey"]) == (key, "main", MAIN)
    assert event["data"]["tool"] == name
    assert event["data"]["toolCallId"]
    assert event["data"]["durationMs"] >= 0
    assert event["data"]["success"] is (outcome == "completed")
    if error is not None:
        assert error in event["data"]["error"]
    assert event["traceparent"][:35] == only(events, "agent.run_ended")["traceparent"][:35]


def test_two_tools_in_one_turn_and_one_that_does_not_exist(world: World) -> None:
    events = world.run(turn('!call bus_ok {"note":"a"}\n!call bus_throw {"note":"b"}'), until="agent.run_ended")
    assert Counter(s for s in subjects(events) if s.startswith("tool.")) == {
        "tool.bus_ok.completed": 1,
        "tool.bus_throw.failed": 1,
    }
    events = world.run(turn('!call no_such_tool {"a":1}'), until="agent.run_ended")
    told = [s for s in subjects(events) if s.startswith("tool.")]
    assert len(told) == 1
    assert told[0].endswith(".failed")


def test_a_model_that_fails_is_a_failed_run(world: World) -> None:
    events = world.run(turn("!fail 400", "agent:main:broken", key="broken"), until="agent.run_ended")
    ended = only(events, "agent.run_ended")
    assert (ended["runid"], ended["data"]["success"], ended["data"]["status"]) == ("broken", False, "error")
    assert ended["data"]["error"]
    assert only(events, "model.call.failed")["data"]["success"] is False
    assert only(events, "llm.output")["data"]["success"] is False


def test_stop_is_told_once_by_command_and_by_abort(world: World) -> None:
    import asyncio

    async def stopped_by_command(client: GatewayClient) -> None:
        running = asyncio.create_task(client.chat("!wait 8000", "agent:main:stop", seconds=15))
        await asyncio.sleep(3)
        await client.chat("/stop", "agent:main:stop", seconds=3)
        await running

    async def aborted(client: GatewayClient) -> None:
        running = asyncio.create_task(client.turn("!wait 8000", "agent:main:abort", key="aborted"))
        await asyncio.sleep(3)
        await client.request("chat.abort", {"sessionKey": "agent:main:abort"})
        await asyncio.gather(running, return_exceptions=True)

    events = world.run(stopped_by_command, until="agent.run_ended")
    assert only(events, "session.stop")["sessionkey"] == "agent:main:stop"
    assert only(events, "agent.run_ended")["data"]["status"] == "cancelled"
    events = world.run(aborted, until="agent.run_ended")
    assert only(events, "session.stop")["runid"] == "aborted"
    assert only(events, "agent.run_ended")["data"]["success"] is False


def test_chat_new_and_reset(world: World) -> None:
    events = world.run(chat(f"{PRIVATE}\n!say {PRIVATE}"), until="agent.run_ended")
    received = only(events, "message.received")
    assert received["sessionkey"] == "agent:main:web"
    assert received["data"]["channel"] == "webchat"
    assert received["data"]["characters"] > len(PRIVATE)
    only(events, "session.started")
    for command, subject in (("/new", "session.new"), ("/reset", "session.reset")):
        events = world.run(chat(command, seconds=8), until=subject)
        assert only(events, subject)["sessionkey"] == "agent:main:web"
        assert only(events, "session.ended")["data"]["reason"] == subject.rpartition(".")[2]
        only(events, "session.started")
    events = world.run(call("sessions.reset", key="agent:main:web"), until="session.reset")
    only(events, "session.reset")
    assert "subagent.ended" not in subjects(events)
    events = world.run(call("sessions.delete", key="agent:main:web"), until="session.ended")
    assert only(events, "session.ended")["data"]["reason"] == "deleted"
    assert "subagent.ended" not in subjects(events)


def test_compaction_is_started_and_compacted_once(world: World) -> None:
    session = "agent:main:long"
    world.run(chat(*(f"{n} " + "lorem ipsum " * 400 for n in range(3)), session=session), until="agent.run_ended")
    events = world.run(chat("/compact", session=session, seconds=20), until="context.compacted")
    started = only(events, "session.compaction.started")
    assert started["sessionkey"] == session
    assert started["data"]["messageCount"] > 0
    compacted = only(events, "context.compacted")
    assert compacted["sessionkey"] == session
    assert compacted["data"]["messageCount"] < started["data"]["messageCount"]


def test_subagents_that_finish_and_fail(world: World) -> None:
    events = world.run(
        turn('!call sessions_spawn {"task":"!say done","label":"helper"}', key="parent"),
        until="subagent.ended",
        seconds=60,
    )
    spawned, ended = only(events, "subagent.spawned"), only(events, "subagent.ended")
    assert spawned["runid"] == ended["runid"]
    assert spawned["sessionkey"] == MAIN
    assert spawned["data"]["childSessionKey"] == ended["data"]["childSessionKey"]
    assert spawned["data"]["label"] == "helper"
    assert (ended["data"]["outcome"], ended["data"]["success"]) == ("ok", True)
    assert only(events, "subagent.progress", phase="started")["runid"] == spawned["runid"]
    runs = [event for event in events if event["subject"] == "agent.events.agent.run_ended"]
    assert len({run["runid"] for run in runs}) == len(runs)
    events = world.run(
        turn('!call sessions_spawn {"task":"!fail 400","label":"broken"}'), until="subagent.ended", seconds=60
    )
    assert only(events, "subagent.ended")["data"]["success"] is False


def test_the_gateways_own_cron_jobs(world: World) -> None:
    async def scenario(client: GatewayClient) -> None:
        job = await client.request(
            "cron.add",
            {
                "name": "nightly",
                "enabled": True,
                "schedule": {"kind": "every", "everyMs": 3_600_000},
                "sessionTarget": "isolated",
                "wakeMode": "now",
                "payload": {"kind": "agentTurn", "message": PRIVATE},
                "delivery": {"mode": "none"},
            },
        )
        number = job.get("id") or job["job"]["id"]
        await client.request("cron.run", {"id": number, "mode": "force"})
        deadline = time.monotonic() + 30
        while "cron.finished" not in subjects(world.events()) and time.monotonic() < deadline:
            await _sleep(0.2)
        await client.request("cron.update", {"id": number, "patch": {"name": "nightly2"}})
        await client.request("cron.remove", {"id": number})

    events = world.run(scenario, until="cron.removed")
    for action in ("added", "started", "finished", "removed"):
        assert only(events, f"cron.{action}")["data"]["jobId"]
    assert only(events, "cron.finished")["data"]["status"] == "ok"
    assert "cron.updated" in subjects(events)


def test_skill_proposals(world: World) -> None:
    content = "# Probe skill\n\nUse for probing. Always answer with the word probe when asked about probing."
    events = world.run(
        call("skills.proposals.create", name="probe-skill", description="d", content=content, goal="g"),
        until="skill.proposal.created",
    )
    assert only(events, "skill.proposal.created")["data"]["skill"] == "probe-skill"


def test_channel_messages_in_and_out_and_a_send_that_fails(world: World, telegram: Telegram) -> None:
    async def writes(client: GatewayClient) -> None:
        telegram.say(1001, f"{PRIVATE}\n!say {PRIVATE}")

    events = world.run(writes, until="message.sent", seconds=60)
    received, sent = only(events, "message.received"), only(events, "message.sent")
    assert (received["data"]["channel"], received["data"]["senderId"]) == ("telegram", "1001")
    assert (sent["data"]["channel"], sent["data"]["success"]) == ("telegram", True)
    assert sent["sessionkey"]

    async def fails(client: GatewayClient) -> None:
        telegram.fail_next = True
        with pytest.raises(GatewayError):
            await client.request(
                "send",
                {"channel": "telegram", "to": "1001", "message": "direct", "idempotencyKey": f"s{time.time_ns()}"},
            )

    failed = only(world.run(fails, until="message.sent"), "message.sent")
    assert failed["data"]["success"] is False
    assert failed["data"]["error"]


def test_a_pairing_request_is_told_without_its_code(world: World, telegram: Telegram) -> None:
    async def stranger(client: GatewayClient) -> None:
        telegram.say(2002, "let me in")

    event = only(world.run(stranger, until="pairing.requested", seconds=60), "pairing.requested")
    assert event["data"] == {"channel": "telegram", "accountId": "default", "senderId": "2002"}


def test_nothing_private_is_in_the_stream_and_every_event_is_well_formed(world: World) -> None:
    assert any(PRIVATE in prompt for prompt in world.prompts())
    events = world.events()
    assert PRIVATE not in json.dumps(events)
    assert len({event["id"] for event in events}) == len(events)
    patterns = documented_subjects()
    for event in events:
        assert event["specversion"] == "1.0"
        assert matches_any(patterns, event["subject"]), event["subject"]
        assert event["time"].endswith("Z")
        assert event["type"].startswith("openclaw.")
    assert world.sidecar.get("/api/health")[1]["plugin"]["handlerErrors"] == 0


def test_stopping_is_told_and_arrives_and_a_new_start_is_told_again(world: World) -> None:
    before = len(world.settle())
    world.gateway.stop()
    assert only(world.settle()[before:], "gateway.stopped")["data"]["reason"]
    world.gateway.start()
    events = world.settle(3)[before:]
    only(events, "gateway.startup")
    only(events, "gateway.stopped")


def test_the_plugin_makes_a_test_event_when_doctor_asks(world: World) -> None:
    status, answer = world.sidecar.call("POST", "/api/plugin/probe")
    assert status == 202
    seen = lambda: [one for one in world.events() if one["data"].get("probe") == answer["probe"]]  # noqa: E731
    wait_until(seen, 20, "the test event")


def test_every_documented_subject_was_seen_but_those_named_here(world: World) -> None:
    seen = {event["subject"] for event in world.events()}
    unseen = {pattern for pattern in documented_subjects() if not any(matches(pattern, subject) for subject in seen)}
    # A live skill is only changed by an operator's decision; the chaos tests fill the spool.
    assert unseen <= {"agent.events.skill.*", "agent.events.spool.overflow"}, unseen
    if target := os.environ.get("OPENCLAW_NATS_EXAMPLES"):  # how docs/examples.json is made
        events = world.events()
        firsts = (
            (pattern, [one for one in events if matches(pattern, one["subject"])])
            for pattern in sorted(documented_subjects())
        )
        found = {pattern: some[0] for pattern, some in firsts if some}
        text = json.dumps(found, indent=1).replace(found["agent.events.gateway.startup"]["gatewayid"], "home")
        Path(target).write_text(text + "\n")


def test_the_recorded_examples_have_the_fields_that_events_have(world: World) -> None:
    recorded = json.loads((Path(__file__).parents[2] / "docs" / "examples.json").read_text())
    seen: dict[str, set[str]] = {}
    for event in world.events():
        seen.setdefault(event["subject"], set()).update(event.keys() | {f"data.{name}" for name in event["data"]})
    for pattern, event in recorded.items():
        fields = event.keys() | {f"data.{name}" for name in event["data"]}
        now = [names for subject, names in seen.items() if matches(pattern, subject)]
        assert any(fields <= names for names in now), pattern


async def _sleep(seconds: float) -> None:
    import asyncio

    await asyncio.sleep(seconds)
