"""Providers that want their answer at once, while JetStream gives none; and a sender that comes alone, under kills."""

from __future__ import annotations

import http.client
import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from tests.integration.test_sources import Provider
from tests.support.processes import NatsServer, Sidecar, wait_until

WITHIN = 3.0  # seconds: what Slack and Discord wait for


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path_factory.mktemp("stall") / "nats-server")
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def bus(nats: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    sidecar = Sidecar(tmp_path_factory.mktemp("state"), nats)
    sidecar.start()
    yield sidecar
    sidecar.close()


@contextmanager
def stalled(nats: NatsServer) -> Iterator[None]:
    """A nats-server that does nothing, with its connections open."""
    nats.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        nats.signal(signal.SIGCONT)


def timed(provider: Provider, body: bytes, headers: dict[str, str]) -> tuple[float, int, Any, bytes]:
    """How long it took; status, headers and body of the answer."""
    began = time.monotonic()
    status, answered, content = provider.sidecar.request("POST", provider.path, body, headers, key="")
    return time.monotonic() - began, status, answered, content


class Discord(Provider):
    """It alone has the private key."""

    def __init__(self, sidecar: Sidecar, name: str) -> None:
        self.key = SigningKey.generate()
        super().__init__(sidecar, name, "discord")

    def signed(self, body: bytes | None = None, *given: Any, **more: Any) -> tuple[bytes, dict[str, str]]:
        stamp, body = str(int(time.time())), body or b"{}"
        made = self.key.sign(stamp.encode() + body).signature.hex()
        return body, {
            "content-type": "application/json",
            "x-signature-ed25519": made,
            "x-signature-timestamp": stamp,
        }

    @property
    def secret(self) -> str:
        return self.key.verify_key.encode().hex()

    @secret.setter
    def secret(self, made: str) -> None:
        """It can't be chosen."""


@pytest.mark.parametrize("kind", ["slack", "discord"])
def test_within_three_seconds_it_is_asked_to_come_again_and_is_stored_once(
    bus: Sidecar, nats: NatsServer, kind: str
) -> None:
    provider: Provider = Discord(bus, "quick-d") if kind == "discord" else Provider(bus, "quick-s", "slack")
    bodies = {
        "slack": b'{"type": "event_callback", "event_id": "Ev1", "event": {"type": "message", "text": "hello"}}',
        "discord": b'{"id": "1001", "type": 2, "token": "t", "application_id": "1", "data": {"name": "do"}}',
    }
    request = provider.signed(bodies[kind])
    with stalled(nats):
        took, status, headers, _ = timed(provider, *request)
        assert (status, took < WITHIN) == (503, True), (status, took)
        assert int(headers["retry-after"]) > 0
        took, status, _, _ = timed(provider, *request)  # the provider is in a hurry
        assert (status, took < WITHIN) == (503, True), (status, took)
    wait_until(lambda: provider.post(*request)[0] == 200, 60, "the sidecar")
    assert provider.post(*request)[0] == 200
    assert len(provider.stored()) == 1


def test_questions_are_answered_while_nats_is_stalled_or_away(bus: Sidecar, nats: NatsServer) -> None:
    slack, discord = Provider(bus, "ask-s", "slack"), Discord(bus, "ask-d")
    challenge, ping = b'{"type": "url_verification", "challenge": "abc"}', b'{"type": 1}'

    def ask() -> None:
        took, status, _, body = timed(slack, *slack.signed(challenge))
        assert (status, json.loads(body), took < WITHIN) == (200, {"challenge": "abc"}, True)
        took, status, _, body = timed(discord, *discord.signed(ping))
        assert (status, json.loads(body), took < WITHIN) == (200, {"type": 1}, True)

    with stalled(nats):
        ask()
    nats.kill()
    try:
        ask()
    finally:
        nats.start()
    wait_until(lambda: slack.send(b'{"type": "event_callback", "event_id": "Ev2"}')[0] == 200, 60, "the sidecar")


def test_each_delivery_of_a_sender_that_comes_alone_is_stored_once_whatever_is_killed(tmp_path: Path) -> None:
    """It waits for each answer, so that its deliveries are noted without a wait for the disk."""
    nats = NatsServer(tmp_path / "nats-server")
    nats.start()
    one = Sidecar(tmp_path / "state", nats)
    one.start()
    done = threading.Event()
    try:
        provider = Provider(one, "alone", "github")

        def kill() -> None:
            for turn in range(6):
                if done.wait(1.5):
                    return
                victim: Any = (one, nats)[turn % 2]
                victim.kill()
                if victim is one:
                    one.start(wait=False)
                else:
                    nats.start()

        killer = threading.Thread(target=kill)
        killer.start()
        count, deadline = 0, time.monotonic() + 90
        while killer.is_alive() or count < 100:
            request = provider.signed(b'{"action": "opened", "n": %d}' % count, delivery=f"d-{count}")
            status = 0
            while status not in (200, 202):
                assert time.monotonic() < deadline, status
                try:
                    status = provider.post(*request)[0]
                except (OSError, http.client.HTTPException):
                    status = 0
                if status not in (200, 202):
                    assert status in (0, 408, 500, 503), status
                    time.sleep(0.1)
            count += 1
        killer.join()
        wait_until(lambda: one.get("/api/health")[0] == 200, 30, "the sidecar")
        assert sorted(found["event"]["data"]["n"] for found in provider.stored()) == list(range(count))
    finally:
        done.set()
        one.close()
        nats.close()
