"""The Gateway's hooks: the same expectations of the Gateway-shaped server and of a real Gateway."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from openclaw_nats.demo.gateway import Gateway
from openclaw_nats.errors import DeliveryError, GiveUp, RetryLater
from openclaw_nats.gateway.hooks import Hooks
from openclaw_nats.ports import Parcel
from tests.gateway.world import prefix
from tests.support import model_log
from tests.support.gateway_stub import HOOK_TOKEN, GatewayStub
from tests.support.parcels import parcel

HOOKS = {"hooks": {"allowRequestSessionKey": True, "allowedSessionKeyPrefixes": ["agent:", "hook:"]}}


class Target:
    """Where the hooks are, and how many runs they have led to."""

    def __init__(self, url: str, token: str, runs: Any) -> None:
        self.url, self.token, self.runs = url, token, runs


@pytest.fixture(scope="module", params=["stub", pytest.param("gateway", marks=pytest.mark.gateway)])
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("hooks")
    if request.param == "stub":
        stub = GatewayStub(folder)
        stub.start()
        yield Target(stub.url, HOOK_TOKEN, lambda: len(stub.acts()))
        stub.close()
    else:
        gateway = Gateway(prefix("2026.9.6"), folder / "openclaw", config=HOOKS)
        gateway.start()
        yield Target(gateway.url, gateway.hook_token, lambda: len(model_log.requests(gateway.model_log)))
        gateway.close()


async def send(target: Target, one: Parcel, token: str | None = None) -> Any:
    async with aiohttp.ClientSession() as session:
        hooks = Hooks(target.url, lambda: target.token if token is None else token, session, 60)
        try:
            return await hooks.send(one)
        except DeliveryError as error:
            return error


async def test_a_run_is_confirmed_with_its_id(target: Target) -> None:
    receipt = await send(target, parcel(f"k{time.time_ns()}"))
    assert (receipt.way, receipt.outcome) == ("hooks", "ok")
    assert receipt.run_id


async def test_the_same_key_and_body_is_one_run(target: Target) -> None:
    one = parcel(f"k{time.time_ns()}")
    await send(target, one)
    before = target.runs()
    again = await send(target, one)
    assert again.outcome == "ok"
    assert target.runs() == before


async def test_a_wrong_token_is_refused_and_may_heal(target: Target) -> None:
    error = await send(target, parcel("k1"), token="wrong-token-0123456789")
    assert isinstance(error, RetryLater)
    assert (error.scope, error.counts) == ("gateway", False)
    assert "401" in str(error)


async def test_too_large_a_body_is_never_sent_and_refused_by_the_server_too(target: Target) -> None:
    error = await send(target, parcel("k2", text="x" * 300_000))
    assert isinstance(error, GiveUp)
    headers = {"Authorization": f"Bearer {target.token}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession() as session:
        body = json.dumps({"message": "x" * 300_000})
        async with session.post(f"{target.url}/hooks/agent", data=body, headers=headers) as answer:
            assert answer.status == 413


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/hooks/agent", "{", 400),
        ("GET", "/hooks/agent", "", 405),
        ("POST", "/hooks/nothing-here", "{}", 404),
    ],
)
async def test_what_is_wrong_is_told_by_its_status(
    target: Target, method: str, path: str, body: str, status: int
) -> None:
    headers = {"Authorization": f"Bearer {target.token}", "Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, target.url + path, data=body, headers=headers) as answer,
    ):
        assert answer.status == status


async def test_a_wake_up_is_a_turn_that_is_confirmed(target: Target) -> None:
    before = target.runs()
    receipt = await send(target, parcel(f"k{time.time_ns()}", kind="wake", session="agent:main:main"))
    assert receipt.outcome == "ok"
    assert target.runs() == before + 1


async def test_nobody_there_is_certainly_not_taken() -> None:
    error = await send(Target("http://127.0.0.1:9", "t", None), parcel("k3"))
    assert isinstance(error, RetryLater)
    assert (error.scope, error.counts) == ("gateway", False)


@pytest.mark.gateway
async def test_a_session_that_the_configuration_does_not_allow_is_tried_again(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    gateway = Gateway(prefix("2026.3.1"), tmp_path_factory.mktemp("strict") / "openclaw")
    gateway.start()
    try:
        error = await send(Target(gateway.url, gateway.hook_token, None), parcel("k9"))
        assert isinstance(error, RetryLater)
        assert error.counts  # for as long as its route tries: then it is a dead letter with the Gateway's words
        assert "allowRequestSessionKey" in error.hint
    finally:
        gateway.close()
