"""The plugin's channel: what is ordered, what becomes of a run when plugin, Gateway or sidecar go away."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from openclaw_nats.contract.plugin import RunPolicy, RunResult
from openclaw_nats.errors import GiveUp, RetryLater
from openclaw_nats.events.agents import Agents
from openclaw_nats.gateway import channel as module
from openclaw_nats.gateway.channel import PluginChannel
from openclaw_nats.gateway.sender import GatewaySender
from openclaw_nats.ports import Parcel, Receipt
from tests.support.parcels import parcel

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Plugin:
    """The other side: reads orders, tells results."""

    def __init__(self, channel: PluginChannel, instance: str) -> None:
        self.channel, self.instance = channel, instance
        self._stream: AsyncIterator[bytes] = channel.stream(instance, can_run=True, can_wake=True, wraps="gateway")

    async def orders(self, count: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        async with asyncio.timeout(2):
            while len(found) < count:
                line = await anext(self._stream)
                if line.strip():
                    found.append(json.loads(line))
        return found

    async def connect(self) -> None:
        await anext(self._stream)

    async def leave(self) -> None:
        await self._stream.aclose()  # type: ignore[attr-defined]

    def tell(self, status: str, key: str = "k1", **more: str) -> None:
        self.channel.result(RunResult(instance=self.instance, key=key, status=status, **more))


@pytest.fixture
async def channel() -> AsyncIterator[PluginChannel]:
    one = PluginChannel(5.0)
    watch = asyncio.create_task(one.watch())
    yield one
    watch.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watch


async def test_an_order_is_answered_by_the_runs_end(channel: PluginChannel) -> None:
    plugin = Plugin(channel, "instance-1")
    await plugin.connect()
    sent = asyncio.create_task(channel.send(parcel()))
    (order,) = await plugin.orders(1)
    assert (order["op"], order["key"], order["sessionKey"], order["trusted"]) == ("run", "k1", "agent:main:x", False)
    plugin.tell("accepted", run_id="k1")
    await asyncio.sleep(0)
    assert not sent.done()
    plugin.tell("ok", run_id="k1", reply="done")
    receipt = await sent
    assert (receipt.way, receipt.outcome, receipt.run_id, receipt.reply) == ("plugin", "ok", "k1", "done")


async def test_without_a_plugin_nothing_was_taken(channel: PluginChannel) -> None:
    with pytest.raises(RetryLater) as raised:
        await channel.send(parcel())
    assert (raised.value.scope, raised.value.counts) == ("gateway", False)


@pytest.mark.parametrize(
    ("status", "error", "kind", "scope"),
    [
        ("error", "model failed", RetryLater, "delivery"),
        ("refused", "SESSION_WORK_START_CHANGED Retry", RetryLater, "target"),
        ("refused", "Unknown agent id", RetryLater, "target"),  # in whatever words: nothing is decided by them
        ("timeout", "", GiveUp, ""),
    ],
)
async def test_what_the_plugin_tells_decides(
    channel: PluginChannel, status: str, error: str, kind: type[Exception], scope: str
) -> None:
    plugin = Plugin(channel, "instance-1")
    await plugin.connect()
    sent = asyncio.create_task(channel.send(parcel()))
    await plugin.orders(1)
    plugin.tell(status, error=error)
    with pytest.raises(kind) as raised:
        await sent
    if isinstance(raised.value, RetryLater):
        assert raised.value.scope == scope
        assert raised.value.rerun is (status == "error")


async def test_confirm_says_what_counts(channel: PluginChannel) -> None:
    plugin = Plugin(channel, "instance-1")
    await plugin.connect()
    accepted = asyncio.create_task(channel.send(parcel("a", confirm="accepted")))
    ended = asyncio.create_task(channel.send(parcel("b", confirm="ended")))
    woken = asyncio.create_task(channel.send(parcel("c", kind="wake")))
    orders = await plugin.orders(3)
    assert [order["op"] for order in orders] == ["run", "run", "wake"]
    plugin.tell("accepted", "a")
    plugin.tell("error", "b", error="failed")
    plugin.tell("accepted", "c")
    assert [(await one).outcome for one in (accepted, ended, woken)] == ["accepted", "error", "accepted"]


async def test_the_same_instance_is_sent_what_is_open_again(channel: PluginChannel) -> None:
    plugin = Plugin(channel, "instance-1")
    await plugin.connect()
    sent = asyncio.create_task(channel.send(parcel()))
    await plugin.orders(1)
    await plugin.leave()
    assert not channel.connected
    again = Plugin(channel, "instance-1")
    await again.connect()
    assert [order["key"] for order in await again.orders(1)] == ["k1"]
    again.tell("ok")
    assert (await sent).outcome == "ok"


async def test_a_new_instance_means_that_the_runs_end_will_never_be_told(channel: PluginChannel) -> None:
    plugin = Plugin(channel, "instance-1")
    await plugin.connect()
    sent = asyncio.create_task(channel.send(parcel()))
    await plugin.orders(1)
    restarted = Plugin(channel, "instance-2")
    await restarted.connect()
    with pytest.raises(RetryLater) as raised:
        await sent
    assert (raised.value.scope, raised.value.counts, raised.value.rerun) == ("gateway", False, False)
    plugin.tell("ok")  # too late, and from somebody who is gone


async def test_a_plugin_that_stays_away_is_given_up(channel: PluginChannel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.1)
    plugin = Plugin(channel, "instance-1")
    await plugin.connect()
    sent = asyncio.create_task(channel.send(parcel()))
    await plugin.orders(1)
    await plugin.leave()
    with pytest.raises(RetryLater):
        await asyncio.wait_for(sent, 4)


async def test_a_gateway_that_hangs_did_not_take_it(channel: PluginChannel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ACCEPT_SECONDS", 0.1)
    plugin = Plugin(channel, "instance-1")
    await plugin.connect()
    with pytest.raises(RetryLater, match="does the Gateway hang"):
        await channel.send(parcel())


async def test_a_run_that_takes_too_long_is_asked_for_again_as_the_same_run(monkeypatch: pytest.MonkeyPatch) -> None:
    channel = PluginChannel(0.2)
    plugin = Plugin(channel, "instance-1")
    await plugin.connect()
    sent = asyncio.create_task(channel.send(parcel()))
    await plugin.orders(1)
    plugin.tell("accepted")
    with pytest.raises(RetryLater) as raised:
        await sent
    assert (raised.value.scope, raised.value.counts, raised.value.rerun) == ("delivery", True, False)


async def test_causes_are_announced_only_to_somebody(channel: PluginChannel) -> None:
    channel.announce(parcel(), "s", 1)
    plugin = Plugin(channel, "instance-1")
    await plugin.connect()
    channel.announce(parcel("d2", hops=2), "s", 60)
    channel.announce(parcel("d3", traceparent=TRACEPARENT), "s", 60)
    first, second = await plugin.orders(2)
    assert first == {"op": "cause", "session": "s", "dispatch": "d2", "hops": 2, "seconds": 60}
    assert second["traceparent"] == TRACEPARENT
    policy = RunPolicy(tools=["read"], guard="ask", tainted=True, route="r", dispatch="d4")
    channel.announce(parcel("d4", policy=policy), "s", 60)
    [third] = await plugin.orders(1)
    kept = {"tools": ["read"], "guard": "ask", "tainted": True, "route": "r", "dispatch": "d4"}
    assert third["policy"] == kept


async def test_what_may_have_been_taken_on_one_way_is_asked_for_on_the_same(channel: PluginChannel) -> None:
    """Its key is known there only: on the other way it would be a second run."""

    class Hooks:
        configured = True

        async def send(self, one: Parcel) -> Any:
            raise RetryLater("the connection broke", way="hooks")

    sender = GatewaySender(channel, Hooks(), "auto", plugin_known=False)  # type: ignore[arg-type]
    assert sender.way() == "hooks"
    with pytest.raises(RetryLater) as raised:
        await sender.send(parcel())
    plugin = Plugin(channel, "instance-1")
    await plugin.connect()
    assert sender.way() == "plugin"
    with pytest.raises(RetryLater, match="the connection broke"):
        await sender.send(parcel(way=raised.value.way))


async def test_the_session_that_all_agents_share_gets_its_turns_over_the_hooks(channel: PluginChannel) -> None:
    """A Gateway with session.scope global refuses a plugin's run there: 2026.9.6 finds no agent in the key `global`."""

    class Hooks:
        configured = True

        async def send(self, one: Parcel) -> Any:
            raise RetryLater("over the hooks", way="hooks")

    hooks = Hooks()
    shared = Agents(ids=("main", "ops"), default="main", main_key="home", scope="global")
    sender = GatewaySender(channel, hooks, "auto", plugin_known=True, agents=lambda: shared)  # type: ignore[arg-type]
    await Plugin(channel, "instance-1").connect()
    for session in ("agent:main:main", "agent:ops:home", "agent:main:global"):
        with pytest.raises(RetryLater, match="over the hooks"):
            await sender.send(parcel(session=session))
    hooks.configured = False
    with pytest.raises(RetryLater, match=r"session\.scope: global"):
        await sender.send(parcel(session="agent:main:main"))
    assert not shared.shared("agent:main:door")
    assert not Agents(ids=("main",), default="main").shared("agent:main:main")


class Answering:
    """Hooks that answer as they are told, and note what they were given."""

    configured = True

    def __init__(self, answer: Receipt | RetryLater) -> None:
        self.answer = answer
        self.sent: list[str] = []

    async def send(self, one: Parcel) -> Receipt:
        self.sent.append(one.dispatch)
        if isinstance(self.answer, RetryLater):
            raise self.answer
        return self.answer


GUARDED = RunPolicy(tools="read", guard="block", tainted=True, route="r", dispatch="d1")


@pytest.mark.parametrize(
    ("answer", "ended"),
    [
        (Receipt("hooks", "r", "ok"), True),
        (Receipt("hooks", "r", "error"), True),
        (Receipt("hooks", "r", "accepted"), False),
        (RetryLater("the connection broke", way="hooks"), False),
        (RetryLater("refused", scope="gateway", counts=False), True),
    ],
)
async def test_a_turn_over_hooks_is_guarded_until_its_end_is_known(
    channel: PluginChannel, answer: Receipt | RetryLater, ended: bool
) -> None:
    sender = GatewaySender(channel, Answering(answer), "hooks", plugin_known=True)  # type: ignore[arg-type]
    plugin = Plugin(channel, "instance-1")
    await plugin.connect()
    with contextlib.suppress(RetryLater):
        await sender.send(parcel(policy=GUARDED))
    begun, after = await plugin.orders(2)
    assert (begun["seconds"], begun["policy"]["guard"]) == (7200, "block")
    assert (after["seconds"] <= 20, after.get("unseen", False)) == (ended, not ended)


async def test_the_session_of_all_agents_is_announced_as_the_gateway_calls_it(channel: PluginChannel) -> None:
    shared = Agents(ids=("main",), default="main", scope="global")
    hooks = Answering(Receipt("hooks", "r", "ok"))
    sender = GatewaySender(channel, hooks, "auto", plugin_known=True, agents=lambda: shared)  # type: ignore[arg-type]
    plugin = Plugin(channel, "instance-1")
    await plugin.connect()
    await sender.send(parcel(session="agent:main:main", policy=GUARDED))
    assert [one["session"] for one in await plugin.orders(4)] == ["agent:main:main", "global"] * 2


async def test_what_the_plugin_has_to_guard_does_not_go_out_without_it(channel: PluginChannel) -> None:
    hooks = Answering(Receipt("hooks", "r", "ok"))
    sender = GatewaySender(channel, hooks, "hooks", plugin_known=False, plugin_seen=True)  # type: ignore[arg-type]
    with pytest.raises(RetryLater, match="nothing guards") as raised:
        await sender.send(parcel(policy=GUARDED))
    assert (raised.value.scope, raised.value.counts) == ("gateway", False)
    await sender.send(parcel("clean", policy=msgspec.structs.replace(GUARDED, tainted=False)))
    await sender.send(parcel("off", policy=msgspec.structs.replace(GUARDED, guard="off")))
    assert hooks.sent == ["clean", "off"]
    await Plugin(channel, "instance-1").connect()
    await sender.send(parcel(policy=GUARDED))
    assert hooks.sent == ["clean", "off", "k1"]
    never = GatewaySender(channel, hooks, "hooks", plugin_known=False)  # type: ignore[arg-type]
    await never.send(parcel(policy=GUARDED))  # where there never was a plugin, nobody expects a guard: status says so
