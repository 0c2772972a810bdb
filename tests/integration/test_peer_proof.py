"""Each side proves that it knows the API key before the other says anything: commands with real and false sidecars."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from openclaw_nats import peer_proof
from tests.support.impostor import Impostor
from tests.support.processes import API_KEY, Sidecar


def ask_for_proof(connection: http.client.HTTPConnection, nonce: str) -> dict[str, Any]:
    connection.request("GET", f"{peer_proof.PATH}?nonce={nonce}")
    answer: dict[str, Any] = json.loads(connection.getresponse().read())
    return answer


def status_with(connection: http.client.HTTPConnection, token: str) -> int:
    connection.request("GET", "/api/routes", headers={"Authorization": f"Session {token}"})
    response = connection.getresponse()
    response.read()
    return response.status


@pytest.fixture
def connection(bus: Sidecar) -> Iterator[http.client.HTTPConnection]:
    one = http.client.HTTPConnection("127.0.0.1", bus.port, timeout=10)
    yield one
    one.close()


def test_the_sidecar_proves_itself_and_then_takes_the_token_on_that_connection_only(
    bus: Sidecar, connection: http.client.HTTPConnection
) -> None:
    nonce = peer_proof.new_nonce()
    answer = ask_for_proof(connection, nonce)
    dialled = f"127.0.0.1:{bus.port}"
    assert peer_proof.why_not(API_KEY, nonce, answer, dialled) == ""
    assert API_KEY not in json.dumps(answer)
    token = peer_proof.token(API_KEY, nonce, answer["nonce"], answer["address"])
    assert [status_with(connection, token) for _ in range(3)] == [200, 200, 200]
    other = http.client.HTTPConnection("127.0.0.1", bus.port, timeout=10)
    assert status_with(other, token) == 401
    ask_for_proof(other, nonce)  # the same nonce on another connection is another token
    assert status_with(other, token) == 401
    other.close()


def test_what_the_sidecar_says_is_not_what_a_client_has_to_say(
    bus: Sidecar, connection: http.client.HTTPConnection
) -> None:
    assert status_with(connection, "") == 401
    answer = ask_for_proof(connection, peer_proof.new_nonce())
    for guess in (answer["proof"], answer["nonce"], "", "x", API_KEY):
        assert status_with(connection, guess) == 401


@pytest.mark.parametrize(
    "query", ["", "?nonce=", "?nonce=short", f"?nonce={'g' * 64}", f"?nonce={'a' * 64}&nonce={'b' * 64}"]
)
def test_other_questions_are_400(bus: Sidecar, query: str) -> None:
    status, _, answer = bus.request("GET", f"/api/proof{query}", key="")
    assert (status, json.loads(answer)["type"].rpartition(":")[2]) == (400, "malformed")


def test_a_proof_that_was_passed_on_from_another_port_is_refused(
    bus: Sidecar, connection: http.client.HTTPConnection
) -> None:
    nonce = peer_proof.new_nonce()
    answer = ask_for_proof(connection, nonce)
    assert "passes the connection on" in peer_proof.why_not(API_KEY, nonce, answer, "127.0.0.1:1")
    changed = answer | {"address": "127.0.0.1:1"}
    assert "does not prove" in peer_proof.why_not(API_KEY, nonce, changed, "127.0.0.1:1")


@pytest.mark.parametrize(
    ("host", "written"),
    [("::ffff:127.0.0.1", "127.0.0.1:5"), ("::1", "[::1]:5"), ("127.0.0.1", "127.0.0.1:5"), ("0:0::1", "[::1]:5")],
)
def test_addresses_are_written_in_one_way(host: str, written: str) -> None:
    assert peer_proof.address_of(host, 5) == written


def test_commands_work_by_proof_and_send_no_key(bus: Sidecar) -> None:
    """A wire between command and sidecar hears everything. It is on another port, so it is refused, too."""
    done = command(bus, "status", "--json")
    assert json.loads(done.stdout)["nats"]["reachable"] is True
    assert command(bus, "publish", "agent.events.custom.proof", '{"a":1}').returncode == 0
    with Wire(bus.port) as wire:
        refused = command(bus, "publish", "agent.events.custom.proof", '"private"', port=wire.port)
    assert refused.returncode == 1
    assert "passes the connection on" in refused.stderr
    assert b"/api/proof" in wire.heard
    assert all(secret not in wire.heard for secret in (API_KEY.encode(), b"private", b"uthorization"))


def test_commands_say_nothing_to_a_program_that_has_the_port(bus: Sidecar) -> None:
    with Wire(None) as impostor:
        for arguments in (("status",), ("publish", "agent.events.custom.proof", '"private"'), ("routes",)):
            done = command(bus, *arguments, port=impostor.port)
            assert done.returncode == (3 if arguments == ("status",) else 1)
            assert "Traceback" not in done.stderr
            said = "".join((done.stdout + done.stderr).split())  # tables fold it, at hyphens, too
            assert "doesnotprovethatitknowstheAPIkey" in said
            assert "itsproofisofanotherkey" not in said
            assert "Doesanotherprogramhavetheport?" in said
    assert all(
        secret not in impostor.heard for secret in (API_KEY.encode(), b"private", b"uthorization", b"/api/routes")
    )


def command(bus: Sidecar, *arguments: str, port: int | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **bus.environment}
    if port is not None:
        environment["NATS_SIDECAR_URL"] = f"http://127.0.0.1:{port}"
    return subprocess.run(
        [sys.executable, "-m", "openclaw_nats", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Wire(Impostor):
    """A port that hears what is said to it and passes it on to the sidecar's; without one it says `{}` to all."""

    def __init__(self, port: int | None) -> None:
        super().__init__()
        self._to = port

    def answer(self, data: bytes) -> bytes:
        """What the sidecar answers."""
        if self._to is None:
            return super().answer(data)
        with socket.create_connection(("127.0.0.1", self._to), timeout=10) as onward:
            onward.sendall(data)
            answer = onward.recv(65536)
            head, end, body = answer.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)^content-length: (\d+)", head, re.MULTILINE)
            while end and length and len(body) < int(length[1]) and (more := onward.recv(65536)):
                body += more  # the sidecar may send its answer's head before the body
            return head + end + body
