"""`doctor` and `status` with parts that stand still, a small disk, an inbox that is full: named, and bounded."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.cells import cell_len

from tests.integration.test_supervisor import Up
from tests.support.inbound import ROOMY, Bus, running_bus
from tests.support.processes import wait_until

BOUND = 60  # seconds for one command, on a machine that does much else; each check has 10, and they run side by side


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    with running_bus(tmp_path_factory.mktemp("diagnosis"), ROOMY + '[inbox]\nmax_bytes = "16MiB"\n') as one:
        yield one


def run(environment: dict[str, str], *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "openclaw_nats", *words]
    return subprocess.run(
        command,
        env=environment | {"COLUMNS": "400"} | more,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )


def findings(environment: dict[str, str], **more: str) -> dict[str, list[dict[str, Any]]]:
    """What doctor finds that is not well, by check; its exit code fits."""
    done = run(environment, "doctor", "--json", **more)
    found: dict[str, list[dict[str, Any]]] = {}
    for one in json.loads(done.stdout)["findings"]:
        if one["state"] != "ok":
            found.setdefault(one["check"], []).append(one)
    problems = [one for rest in found.values() for one in rest if one["state"] == "problem"]
    assert done.returncode == (3 if problems else 0)
    assert all(one["fix"] for one in problems), problems
    return found


def test_a_sidecar_that_stands_still_is_named(tmp_path: Path) -> None:
    up = Up(tmp_path)
    up.start()
    pid = up.pids()["sidecar"]
    os.kill(pid, signal.SIGSTOP)
    try:
        found = findings(up.environment)
        assert "sidecar is stopped, or another program listens" in found["ports"][0]["text"]
        assert "no answer in time" in found["sidecar"][0]["text"]
        assert "stands still: `openclaw-nats restart`" in found["sidecar"][0]["fix"]
        assert "service" not in found
        for words in (("status",), ("status", "--json"), ("publish", "custom.a", "1")):
            done = run(up.environment, *words)
            assert done.returncode == 3
            assert "no answer in time" in done.stdout + done.stderr
    finally:
        os.kill(pid, signal.SIGCONT)
        up.close()


def test_a_nats_that_stands_still_is_named(bus: Bus) -> None:
    environment = bus.sidecar.environment
    bus.nats.signal(signal.SIGSTOP)
    try:
        found = findings(environment)
        assert re.search(r"no answer (in time|within 5 s)", found["nats"][0]["text"]), found["nats"]
        assert "sidecar" not in found
        done = run(environment, "status")
        assert done.returncode == 3
        assert [line.split()[:2] for line in done.stdout.splitlines()[1:3]] == [["nats", "DOWN"], ["sidecar", "up"]]
        for words in ("publish custom.a 1", "cron", "events"):
            done = run(environment, *words.split())
            assert (done.returncode, "NATS" in done.stderr) == (3, True), done.stderr
    finally:
        bus.nats.signal(signal.SIGCONT)
    wait_until(lambda: bus.call("GET", "/api/health")[0] == 200, 30, "NATS again")


def test_an_openclaw_that_hangs_is_named_and_ended(bus: Bus, tmp_path: Path) -> None:
    stub = tmp_path / "openclaw"
    stub.write_text("#!/bin/sh\nsleep 4711\n")
    stub.chmod(0o755)
    [found] = findings(bus.sidecar.environment, OPENCLAW_BIN=str(stub))["openclaw"]
    assert found["text"] == "OpenClaw (its command and the Gateway) did not answer within 10 s"
    assert "openclaw --version" in found["fix"]
    left = [one.cmdline() for one in psutil.process_iter() if one.status() != psutil.STATUS_ZOMBIE]
    assert ["sleep", "4711"] not in left
    assert run(bus.sidecar.environment, "status", OPENCLAW_BIN=str(stub)).returncode == 3  # the plugin is not there


def test_a_service_manager_that_hangs_is_no_fault_of_ours(tmp_path: Path) -> None:
    stub = tmp_path / "bin" / "systemctl"
    stub.parent.mkdir()
    stub.write_text("#!/bin/sh\nexec sleep 4712\n")
    stub.chmod(0o755)
    up = Up(tmp_path)  # not started: nothing answers, and no record says which service there is
    path = f"{stub.parent}{os.pathsep}{up.environment['PATH']}"
    for words, code in ((("status",), 3), (("stop",), 0)):
        done = run(up.environment, *words, PATH=path)
        assert done.returncode == code, done.stdout + done.stderr
        assert "fault of openclaw-nats" not in done.stdout + done.stderr


def test_what_takes_long_is_said_once(bus: Bus, tmp_path: Path) -> None:
    stub = tmp_path / "openclaw"
    stub.write_text("#!/bin/sh\nsleep 4\n")
    stub.chmod(0o755)
    said = run(bus.sidecar.environment, "doctor", OPENCLAW_BIN=str(stub)).stderr.splitlines()
    assert "· asking OpenClaw (its command and the Gateway) …" in said
    assert len(said) == len(set(said))


def test_a_small_disk_is_told_by_doctor_and_status(tmp_path: Path) -> None:
    assert os.geteuid() == 0, "this test mounts a small disk, which needs root"
    state = tmp_path / "state"
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(state)], check=True)
    try:
        with running_bus(tmp_path) as bus:
            [low] = findings(bus.sidecar.environment)["disk"]
            assert low["state"] == "problem"
            assert f"MiB are free below {state}" in low["text"]
            assert "stream.max_bytes" in low["fix"]
            assert f"MiB are free below {state}" in run(bus.sidecar.environment, "status").stdout
            [disk] = json.loads(run(bus.sidecar.environment, "status", "--json").stdout)["sidecar"]["disks"]
            assert disk["low"]
    finally:
        subprocess.run(["umount", str(state)], check=True)


def test_an_inbox_that_is_full_or_nearly_so_is_told_by_doctor_and_status(bus: Bus) -> None:
    environment = bus.sidecar.environment
    later = {"quietHours": {"from": "00:00", "to": "23:59"}}
    bus.route("later", "agent.events.custom.big.>", "main", flow=later)
    for number in range(30):  # most of it at once; from there on slowly, since the inbox is looked at every 5 s
        bus.publish("big.x", {"n": number, "text": "x" * 300_000})

    def told(kind: str) -> str:
        bus.publish("big.x", {"text": "x" * 20_000})
        return str(bus.health()["inbox"][kind])

    for kind, state in (("note", "note"), ("lastError", "problem")):
        text = wait_until(lambda kind=kind: told(kind), 120, kind)  # type: ignore[misc]
        found = findings(environment)["inbox"]
        assert [one["state"] for one in found] == [state]
        assert "inbox.max_bytes" in found[0]["text"]
        assert "inbox.max_bytes" in found[0]["fix"]
        shown = run(environment, "status", COLUMNS="80").stdout
        assert text in " ".join(shown.split())
        assert max(map(cell_len, shown.splitlines())) <= 80
    bus.call("DELETE", "/api/routes/later")
