"""`openclaw-nats doctor` on a real Gateway: well, then with one thing after another broken, each of which it names."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import nats.js.errors
import nkeys
import pytest

from tests.gateway.test_setup import Install
from tests.support.processes import wait_until

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(600)]


class Patient(Install):
    """An installation that is examined."""

    def doctor(self, *options: str, **environment: str) -> dict[str, list[dict[str, Any]]]:
        """The findings that are no "ok", by check; the exit code fits them."""
        done = subprocess.run(
            [sys.executable, "-m", "openclaw_nats", "doctor", "--json", *options],
            env=self.gateway.env() | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        answer = json.loads(done.stdout)
        self.last = answer
        problems = [one for one in answer["findings"] if one["state"] == "problem"]
        assert done.returncode == (3 if problems else 0), done.stderr
        assert all(one["fix"] for one in problems), problems
        found: dict[str, list[dict[str, Any]]] = {}
        for one in answer["findings"]:
            if one["state"] != "ok":
                found.setdefault(one["check"], []).append(one)
        return found

    def openclaw(self, *words: str) -> None:
        """Run an `openclaw` command."""
        subprocess.run(
            [str(self.gateway.prefix.openclaw), *words],
            env=self.gateway.env(),
            check=True,
            capture_output=True,
            timeout=120,
        )

    def problem(self, check: str, *options: str, **environment: str) -> dict[str, Any]:
        """The one problem of that check; fails when there is none."""
        found = [one for one in self.doctor(*options, **environment).get(check, []) if one["state"] == "problem"]
        assert len(found) == 1, self.last
        return found[0]

    def well(self) -> None:
        """Nothing is wrong, once what restarts has restarted."""

        def looks() -> bool:
            return not [one for rest in self.doctor().values() for one in rest if one["state"] == "problem"]

        wait_until(looks, 90, f"a clean bill ({getattr(self, 'last', '')})")


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    one = Patient(tmp_path_factory.mktemp("doctor"), "2026.9.6")
    one.gateway.start()
    one.run("setup", "--yes", *one.ports)
    yield one
    one.run("uninstall", "--purge", "--yes")
    one.gateway.close()


def test_a_healthy_installation_sends_an_event_each_way_and_leaves_nothing_behind(patient: Patient) -> None:
    patient.well()
    checks = {one["check"]: one["text"] for one in patient.last["findings"]}
    assert "went from the Gateway into the stream" in checks["event out"]
    assert "no agent was woken" in checks["event in"]
    assert {
        "versions",
        "ports",
        "files",
        "conversation access",
        "key",
        "hook token",
        "nats",
        "jetstream",
    } <= checks.keys()
    assert {"disk", "sync_interval", "clock", "spool", "streams", "consumer", "delivery", "openclaw"} <= checks.keys()
    assert patient.json("routes")["routes"] == []
    assert "All is well." in patient.run("doctor")


def test_files_that_others_can_read_are_named_and_closed(patient: Patient) -> None:
    path = patient.home / "api-key"
    path.chmod(0o644)
    found = patient.problem("files")
    assert str(path) in found["text"]
    assert found["fix"] == f"Run `chmod 600 {path}`."
    patient.doctor("--fix")
    assert patient.last["mended"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    patient.well()


def test_a_service_that_is_stopped_is_named_and_started(patient: Patient) -> None:
    patient.run("stop")
    assert patient.problem("service")["fixable"] is True
    patient.doctor("--fix")
    assert any("does not run" in text for text in patient.last["mended"])
    patient.well()


def test_another_program_on_the_port_is_named(patient: Patient) -> None:
    patient.run("stop")
    port = int(patient.ports[1])
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        found = [one for one in patient.doctor()["ports"] if "sidecar" in one["text"]]
    assert "another program listens" in found[0]["text"]
    patient.run("start")
    patient.well()


def test_a_wrong_nats_password_is_named(patient: Patient) -> None:
    seed = patient.home / "nats-nkey"
    right = seed.read_text()
    seed.write_text(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER).decode())
    try:
        assert "refuses our sign-in" in patient.problem("nats")["text"]
    finally:
        seed.write_text(right)
    path = patient.home / "nats-password"
    right = path.read_text()
    path.unlink()
    try:
        assert "is missing" in patient.problem("files")["text"]
    finally:
        path.write_text(right)
        path.chmod(0o600)
    patient.well()


def test_a_stream_that_is_gone_or_in_memory_is_named(patient: Patient) -> None:
    async def change() -> None:
        password = (patient.home / "nats-password").read_text().strip()
        client = await nats.connect(f"nats://127.0.0.1:{patient.ports[3]}", user="openclaw-nats", password=password)
        await client.jetstream().delete_stream("agent_dlq")
        await client.jetstream().add_stream(name="agent_dlq", subjects=["agent.dlq.>"], storage="memory")
        await client.close()

    async def restore() -> None:
        password = (patient.home / "nats-password").read_text().strip()
        client = await nats.connect(f"nats://127.0.0.1:{patient.ports[3]}", user="openclaw-nats", password=password)
        with contextlib.suppress(nats.js.errors.NotFoundError):
            await client.jetstream().delete_stream("agent_dlq")
        await client.close()

    asyncio.run(change())
    assert "agent_dlq: it keeps its messages in memory" in patient.problem("streams")["text"]

    def is_named() -> bool:
        asyncio.run(restore())  # again: the sidecar, which looks each half minute, makes it anew
        found = patient.doctor().get("streams", [])
        return any("stream agent_dlq: stream not found" in one["text"] for one in found)

    wait_until(is_named, 120, "the finding")
    patient.run("restart")
    patient.well()


def test_less_durable_is_told_but_no_problem(patient: Patient) -> None:
    patient.run("config", "set", "durability", "interval")
    found = patient.doctor()
    assert found["sync_interval"][0]["state"] == "note"
    patient.run("config", "set", "durability", "always")
    patient.well()


def test_a_plugin_that_is_disabled_or_may_not_see_conversations_is_named_and_mended(patient: Patient) -> None:
    patient.openclaw("config", "set", "plugins.entries.openclaw-nats.hooks.allowConversationAccess", "false")
    assert "llm.output events are missing" in patient.problem("conversation access")["text"]
    patient.openclaw("config", "set", "plugins.entries.openclaw-nats.enabled", "false")
    assert "disabled" in patient.problem("plugin")["text"]
    patient.doctor("--fix")
    assert len(patient.last["mended"]) >= 2
    entry = json.loads(patient.gateway.config_path.read_text())["plugins"]["entries"]["openclaw-nats"]
    assert entry["enabled"] is True
    assert entry["hooks"]["allowConversationAccess"] is True
    patient.well()


def test_another_hook_token_is_named_and_noted_anew(patient: Patient) -> None:
    path = patient.home / "hook-token"
    path.write_text("another-token\n")
    assert patient.problem("hook token")["fixable"] is True
    patient.doctor("--fix")
    assert path.read_text().strip() == patient.gateway.hook_token
    patient.well()


def test_a_plugin_with_another_key_is_named(patient: Patient) -> None:
    patient.run("stop")
    other = {"NATS_PLUGIN_API_KEY": "another-key-than-the-plugin-has"}
    patient.run("start", **other)
    assert "NATS_PLUGIN_API_KEY" in patient.problem("key", **other)["fix"]
    patient.run("stop")
    patient.run("start")
    patient.well()


def test_a_gateway_that_is_away_or_elsewhere_is_named(patient: Patient) -> None:
    patient.run("config", "set", "gateway.url", "http://127.0.0.1:1")
    found = patient.problem("gateway")
    assert f"the Gateway is at {patient.gateway.url}" in found["text"]
    assert found["fix"].endswith(f"gateway.url {patient.gateway.url}`.")
    patient.run("config", "set", "gateway.url", patient.gateway.url)
    patient.gateway.stop()
    found_all = patient.doctor()
    assert "nothing answers" in found_all["gateway"][0]["text"]
    patient.gateway.start()
    patient.well()


def test_what_is_asked_often_starts_no_command_of_openclaw(patient: Patient, tmp_path: Path) -> None:
    """Each takes seconds: without them doctor with the Gateway down, and `config set`, take what our own parts take."""
    node, started = patient.gateway.prefix.bin / "node", tmp_path / "started"
    counting = tmp_path / "bin" / "node"
    counting.parent.mkdir()
    counting.write_text(f'#!/bin/sh\necho "$@" >> {started}\nexec {node} "$@"\n')
    counting.chmod(0o755)
    path = f"{counting.parent}{os.pathsep}{patient.gateway.env()['PATH']}"

    def commands(*words: str) -> list[str]:
        started.unlink(missing_ok=True)
        subprocess.run(
            [sys.executable, "-m", "openclaw_nats", *words],
            env=patient.gateway.env() | {"PATH": path}, stdin=subprocess.DEVNULL, capture_output=True, timeout=120,
            check=False,
        )  # fmt: skip
        return started.read_text().splitlines() if started.exists() else []

    subprocess.run([str(patient.gateway.prefix.openclaw), "--version"], env=patient.gateway.env() | {"PATH": path})
    assert started.exists()  # they are counted
    for words in (
        ("doctor",),
        ("status",),
        ("config", "set", "log.level", "debug"),
        ("config", "set", "log.level", "info"),
    ):
        assert commands(*words) == [], words
    patient.gateway.stop()
    try:
        for words in (("doctor",), ("status",)):
            assert commands(*words) == [], words
    finally:
        patient.gateway.start()
        patient.well()


def test_without_openclaw_or_before_setup_it_says_what_to_do(patient: Patient) -> None:
    state = patient.gateway.state / "empty"
    found = patient.doctor(OPENCLAW_STATE_DIR=str(state), PATH=os.path.dirname(sys.executable) + ":/usr/bin:/bin")
    assert "`openclaw` is not on PATH" in found["openclaw"][0]["text"]
    assert any("openclaw-nats setup" in one["fix"] for one in found["files"])
