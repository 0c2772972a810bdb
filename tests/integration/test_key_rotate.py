"""`key rotate` on a real sidecar: the old key ends with everything that it has opened, at once, and nothing is lost."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openclaw_nats import peer_proof
from tests.support.browser import Visitor, sign_in_code
from tests.support.inbound import Bus, running_bus
from tests.support.processes import API_KEY, wait_until


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    with running_bus(tmp_path) as one:
        yield one


def key_of(bus: Bus) -> str:
    return (bus.sidecar.home / "api-key").read_text().strip()


def bearer(bus: Bus, key: str) -> int:
    return bus.sidecar.get("/api/routes", key=key)[0]


class Proven:
    """A connection on which both sides have proven the key, as plugin and commands have it."""

    def __init__(self, bus: Bus, key: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", bus.sidecar.port, timeout=20)
        nonce = peer_proof.new_nonce()
        self.connection.request("GET", f"{peer_proof.PATH}?nonce={nonce}")
        answer = json.loads(self.connection.getresponse().read())
        assert peer_proof.why_not(key, nonce, answer, f"127.0.0.1:{bus.sidecar.port}") == ""
        self.connection.auto_open = 0
        self.headers = {"Authorization": f"Session {peer_proof.token(key, nonce, answer['nonce'], answer['address'])}"}

    def get(self, path: str) -> http.client.HTTPResponse:
        self.connection.request("GET", path, headers=self.headers)
        return self.connection.getresponse()

    def __enter__(self) -> Proven:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def status(self) -> int:
        response = self.get("/api/routes")
        response.read()
        return response.status


def test_the_old_key_ends_with_all_that_it_has_opened(bus: Bus) -> None:
    visitor = Visitor(f"{bus.sidecar.url}/dashboard")
    visitor.sign_in(sign_in_code(bus.sidecar))
    unused = sign_in_code(bus.sidecar)
    with Proven(bus, API_KEY) as idle, Proven(bus, API_KEY) as channel:
        assert idle.status() == 200
        orders = channel.get("/api/plugin/channel?instance=test-test&run=true&wake=true&wraps=plugin")
        assert orders.status == 200
        assert visitor.call("GET", "/api/routes")[0] == 200
        done = bus.sidecar.command("key", "rotate", "--json")
        with pytest.raises((OSError, http.client.HTTPException)):
            idle.status()
        began = time.monotonic()
        while orders.readline():
            assert time.monotonic() - began < 10
        orders.close()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"file": str(bus.sidecar.home / "api-key"), "running": True}
    new = key_of(bus)
    assert new != API_KEY
    assert len(new) >= 40
    assert new not in done.stdout + done.stderr
    assert (bus.sidecar.home / "api-key").stat().st_mode & 0o777 == 0o600
    assert (bearer(bus, API_KEY), bearer(bus, new)) == (401, 200)
    assert visitor.call("GET", "/api/routes")[0] == 401
    assert Visitor(f"{bus.sidecar.url}/dashboard").call("POST", "/api/session", {"code": unused})[0] == 403
    assert bus.sidecar.command("routes").returncode == 0
    with Proven(bus, new) as again:
        assert again.status() == 200


def test_it_is_in_the_audit_log_without_the_keys(bus: Bus) -> None:
    visitor = Visitor(f"{bus.sidecar.url}/dashboard")
    session = visitor.sign_in(sign_in_code(bus.sidecar))["id"]
    assert bus.sidecar.command("key", "rotate").returncode == 0
    found = json.loads(bus.sidecar.command("audit", "--json").stdout)["records"]
    acts = {(one["act"], one.get("stage", "done")) for one in found}
    assert {("key.rotate", "begun"), ("key.rotate", "ended"), ("key.changed", "done")} <= acts
    [change] = [one for one in found if one["act"] == "key.changed"]
    assert change["after"] == {"sessionsEnded": [session]}
    assert API_KEY not in json.dumps(found)
    assert key_of(bus) not in json.dumps(found)
    assert json.loads(bus.sidecar.command("audit", "verify", "--json").stdout)["sound"]


def test_while_the_sidecar_is_down_sessions_end_at_its_start(bus: Bus) -> None:
    visitor = Visitor(f"{bus.sidecar.url}/dashboard")
    visitor.sign_in(sign_in_code(bus.sidecar))
    bus.sidecar.kill()
    done = bus.sidecar.command("key", "rotate")
    assert done.returncode == 0
    assert "does not run" in done.stdout
    bus.sidecar.start()
    assert visitor.call("GET", "/api/routes")[0] == 401
    assert bearer(bus, key_of(bus)) == 200
    visitor.sign_in(_code(bus))
    bus.sidecar.kill()
    bus.sidecar.start()
    assert visitor.call("GET", "/api/routes")[0] == 200  # the same key: the session goes on


def _code(bus: Bus) -> str:
    _, _, body = bus.sidecar.request("POST", "/api/sign-in-links", key=key_of(bus))
    return str(json.loads(body)["links"][-1]).rpartition("/")[2]


def test_a_key_that_was_put_there_by_hand_counts_and_what_is_none_does_not(bus: Bus) -> None:
    file = bus.sidecar.home / "api-key"
    file.write_text("too short")
    assert bearer(bus, "too short") == 401
    assert bearer(bus, API_KEY) == 200
    by_hand = "by-hand-0123456789-abcdefghij"
    file.write_text(by_hand)
    wait_until(lambda: bearer(bus, API_KEY) == 401, what="the old key ends, although nobody has used the new one")
    assert bearer(bus, by_hand) == 200


def test_a_key_of_the_environment_is_not_rotated(bus: Bus) -> None:
    done = bus.sidecar.command("key", "rotate", NATS_PLUGIN_API_KEY=API_KEY)
    assert done.returncode == 2
    assert "NATS_PLUGIN_API_KEY" in done.stderr
    bus.sidecar.signal(signal.SIGTERM)
    bus.sidecar.environment["NATS_PLUGIN_API_KEY"] = API_KEY
    bus.sidecar.start()
    done = bus.sidecar.command("key", "rotate", NATS_PLUGIN_API_KEY="")
    assert done.returncode == 1
    assert "put back" in done.stderr
    assert key_of(bus) == API_KEY


def test_whatever_is_killed_one_key_works_and_events_go_on(bus: Bus) -> None:
    """Rotations with random kills of the command and the sidecar: the file's key is the one that works."""
    dice = random.Random(7)
    keys: set[str] = {API_KEY}
    for number in range(6):
        arguments: Any = [sys.executable, "-m", "openclaw_nats", "key", "rotate"]
        rotating = subprocess.Popen(
            arguments, env=bus.sidecar.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(dice.uniform(0.3, 3))
        os.kill(rotating.pid, signal.SIGKILL)
        rotating.wait()
        if number % 2:
            bus.sidecar.kill()
            bus.sidecar.start()
        now = key_of(bus)
        wait_until(lambda now=now: bearer(bus, now) == 200, what="the file's key works")  # type: ignore[misc]
        assert {bearer(bus, old) for old in keys - {now}} <= {401}
        keys.add(now)
        done = bus.sidecar.command("publish", "agent.events.custom.rotated", json.dumps({"n": number}))
        assert done.returncode == 0, done.stderr
    assert bus.sidecar.command("key", "rotate").returncode == 0
    assert key_of(bus) not in keys
    text = bus.sidecar.request("GET", "/api/events?subject=agent.events.custom.rotated&follow=false", key=key_of(bus))[
        2
    ]
    assert [json.loads(line)["data"]["n"] for line in text.decode().splitlines()] == list(range(6))
