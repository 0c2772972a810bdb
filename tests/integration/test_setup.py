"""setup and uninstall on a made-up OpenClaw: what is looked at before, and that nothing is left of what fails."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyjson5
import pytest

from openclaw_nats.port_holder import free_port
from tests.support import openclaw_stub
from tests.support.processes import NatsServer, wait_until

CONFIG = '// mine\n{\n  gateway: { port: %d },  // stays\n  plugins: { allow: ["other"] },\n}\n'
DONE = "openclaw-nats status"


def _heed_interrupts() -> None:
    """A shell starts what it runs in the background deaf to SIGINT, and that is inherited."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Machine:
    """A state directory with an OpenClaw, and our command for it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder, folder / "state"
        self.home = self.state / "nats"
        self.config = self.state / "openclaw.json"
        self.calls = folder / "calls"
        different: set[int] = set()
        while len(different) < 3:  # one that is free may be given twice
            different.add(free_port())
        gateway, *own = different
        self.ports = own[0], own[1]
        self.options = ["--sidecar-port", str(self.ports[0]), "--nats-port", str(self.ports[1])]
        self.state.mkdir()
        self.config.write_text(CONFIG % gateway)
        self.config.chmod(0o640)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENCLAW", "NATS_"))}
        self.environment = kept | {
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "OPENCLAW_STATE_DIR": str(self.state),
            "OPENCLAW_BIN": str(openclaw_stub.write(folder / "bin")),
            "STUB_CALLS": str(self.calls),
        }

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        """Our command, running."""
        return subprocess.Popen(
            [sys.executable, "-m", "openclaw_nats", *words],
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_heed_interrupts,
        )

    def run(self, *words: str, code: int = 0, **environment: str) -> str:
        """Our command, ended with `code`; everything that it printed."""
        process = self.start(*words, **environment)
        out, err = process.communicate(timeout=120)
        assert process.returncode == code, f"{words}: exit code {process.returncode}\n{out}\n{err}"
        assert "Traceback" not in err, err
        return out + err

    def setup(self, *more: str, code: int = 0, **environment: str) -> str:
        """`setup` on this machine's ports."""
        return self.run("setup", "--yes", *self.options, *more, code=code, **environment)

    def files(self) -> dict[str, tuple[int, bytes]]:
        """Every file of OpenClaw and of ours with its mode, but for what a running service writes."""
        changing = ("logs", "jetstream", "run", "sidecar.db", "events.db", "audit-head")
        found = {}
        for path in sorted(self.state.rglob("*")):
            name = str(path.relative_to(self.state))
            if path.is_file() and not any(part.startswith(changing) for part in name.split("/")[1:2]):
                found[name] = (stat.S_IMODE(path.stat().st_mode), path.read_bytes())
        return found

    def processes(self) -> list[str]:
        """What runs for this state directory."""
        found = []
        for one in psutil.process_iter():
            try:
                if one.environ().get("OPENCLAW_STATE_DIR") == str(self.state) and one.status() != "zombie":
                    found.append(" ".join(one.cmdline()))
            except psutil.Error:
                continue
        return found

    def close(self) -> None:
        """End what runs."""
        self.run("stop", code=0)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine on which nothing of ours was ever set up."""
    one = Machine(tmp_path)
    yield one
    one.close()
    wait_until(lambda: not one.processes(), 10, "the end of what `stop` has stopped")


def untouched(machine: Machine, before: dict[str, tuple[int, bytes]]) -> None:
    """Nothing is left of a setup: no file, no process."""
    assert machine.files() == before
    assert not machine.home.exists()
    wait_until(lambda: not machine.processes(), 10, "the end of what was stopped")


# Before anything is written ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("which", "option"), [(0, "--sidecar-port"), (1, "--nats-port")])
def test_an_occupied_port_is_named_with_who_holds_it(machine: Machine, which: int, option: str) -> None:
    before = machine.files()
    with socket.create_server(("127.0.0.1", machine.ports[which])):
        for words in ("--yes", "--dry-run"):
            out = machine.run("setup", words, *machine.options, code=1)
            assert f"port {machine.ports[which]}" in out
            assert f"process {os.getpid()}" in out
            assert option in out
    untouched(machine, before)


def test_mqtt_is_turned_on_and_off_and_leaves_nothing(machine: Machine) -> None:
    port, before = free_port(), machine.files()

    def listens() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    with socket.create_server(("127.0.0.1", port)):
        out = machine.setup("--mqtt-port", str(port), code=1)
        assert f"port {port} for MQTT is held by process {os.getpid()}" in out
        assert "--mqtt-port" in out
    untouched(machine, before)
    assert f"port {port} is meant for" in machine.run(
        "setup", "--yes", "--sidecar-port", str(port), "--mqtt-port", str(port), code=1
    )
    machine.setup()
    assert not listens()
    assert f"mqtt.port = {port}" in machine.setup("--mqtt-port", str(port))
    wait_until(listens, 10, "MQTT")
    assert json.loads(machine.run("setup", "--json", "--yes", *machine.options))["changed"] == []
    machine.run("setup", "--yes", "--mqtt-port", "0")
    assert not listens()
    machine.run("uninstall", "--purge", "--yes")
    untouched(machine, before)


def test_mqtt_at_a_nats_that_is_not_ours_is_refused_with_one_line(machine: Machine, tmp_path: Path) -> None:
    before = machine.files()
    nats = NatsServer(tmp_path / "nats")
    nats.start()
    try:
        out = machine.run("setup", "--yes", "--nats-url", nats.url, "--mqtt-port", "1883", code=1)
    finally:
        nats.close()
    assert out.splitlines()[0] == "Error: MQTT is spoken by the nats-server that we run, and this NATS is not ours"
    untouched(machine, before)


def test_one_port_for_both_is_refused(machine: Machine) -> None:
    port = str(machine.ports[0])
    out = machine.run("setup", "--yes", "--sidecar-port", port, "--nats-port", port, code=1)
    assert f"port {port} is meant for nats-server and for sidecar" in out


def test_our_own_running_service_holds_its_ports_rightly(machine: Machine) -> None:
    assert DONE in machine.setup()
    before = machine.files()
    assert json.loads(machine.run("setup", "--json", "--yes", *machine.options))["changed"] == []
    assert machine.files() == before


def test_an_old_openclaw_and_an_old_node_are_named_by_the_plan(machine: Machine) -> None:
    before = machine.files()
    out = machine.run("setup", "--dry-run", *machine.options, code=1, STUB_VERSION="2026.2.14")
    assert "OpenClaw 2026.2.14 is too old" in out
    assert "✓ OpenClaw" in out  # the plan is shown
    package = machine.folder / "bin" / "package.json"
    package.write_text(json.dumps({"name": "openclaw", "version": "2026.9.6", "engines": {"node": ">=24.16 <25"}}))
    stub = openclaw_stub.write(machine.folder / "bin", shebang="#!/usr/bin/env node")
    node = machine.folder / "bin" / "node"
    node.write_text("#!/bin/sh\necho v20.11.1\n")
    node.chmod(0o755)
    path = f"{stub.parent}{os.pathsep}{os.environ['PATH']}"
    out = machine.run("setup", "--dry-run", *machine.options, code=1, PATH=path)
    assert "needs Node >=24.16 <25" in out
    assert "20.11.1" in out
    package.unlink()
    openclaw_stub.write(machine.folder / "bin")
    untouched(machine, before)


def _user(permissions: str) -> str:
    return f'authorization {{ users: [ {{ user: "me@x", password: "p:a/s", permissions: {{ {permissions} }} }} ] }}\n'


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (None, "can't be used"),
        ('authorization { user: "me@x", password: "another" }\n', "uthorization"),
        (_user('publish: { deny: ["$JS.API.STREAM.CREATE.>"] }'), "$JS.API.STREAM.CREATE.agent_events"),
        (_user('publish: { deny: ["agent.>"] }'), "agent.events.bus.setup_check"),
        (_user('subscribe: { deny: ["_INBOX.>"] }'), "nats.inbox_prefix"),
    ],
    ids=["nobody", "password", "streams", "publish", "inbox"],
)
def test_a_nats_that_can_not_be_used_is_not_saved(
    machine: Machine, tmp_path: Path, server: str | None, said: str
) -> None:
    before = machine.files()
    nats = NatsServer(tmp_path / "nats", server or "")
    if server is not None:
        nats.start()
    url = nats.url.replace("//", "//me%40x:p%3Aa%2Fs@")
    try:
        out = machine.run("setup", "--yes", "--nats-url", url, "--sidecar-port", str(machine.ports[0]), code=1)
        assert said in out, out
        assert "p%3Aa" not in out
        assert "p:a/s" not in out
    finally:
        nats.close()
    untouched(machine, before)


def test_a_nats_that_can_be_used_is_left_as_it_is_by_the_check(machine: Machine, tmp_path: Path) -> None:
    nats = NatsServer(tmp_path / "nats", _user('publish: ">"'))
    nats.start()
    url = nats.url.replace("//", "//me%40x:p%3Aa%2Fs@")
    try:
        out = machine.run("setup", "--dry-run", "--nats-url", url, "--sidecar-port", str(machine.ports[0]))
        assert "✗" not in out
        with_js = subprocess.run(
            ["find", str(tmp_path / "nats"), "-name", "agent_*"], capture_output=True, text=True, check=True
        )
        assert with_js.stdout == ""  # it made no stream
        out = machine.run(
            "setup", "--yes", "--nats-url", url, "--sidecar-port", str(machine.ports[0]),
            NATS_SERVERS="nats://127.0.0.1:9",
        )  # fmt: skip
        assert DONE in out
        assert "NATS_SERVERS in the environment is not used: nats.url says" in out
        assert "p%3Aa" not in out
        machine.run("uninstall", "--yes", "--purge")
    finally:
        nats.close()


def test_nats_servers_beside_a_nats_of_ours_is_explained(machine: Machine) -> None:
    out = machine.run("setup", "--dry-run", *machine.options, NATS_SERVERS="nats://user:secret@127.0.0.1:9")
    assert "NATS_SERVERS in the environment is not used: nats.managed is true" in out
    assert "secret" not in out


# What fails is undone ------------------------------------------------------------------------------------------

FAILURES = {
    "plugin": {"STUB_FAIL": "plugins install"},
    "entry": {"STUB_FAIL": "config set"},
    "hooks": {"STUB_VERSION": "2026.3.1", "STUB_FAIL": "config set hooks.enabled"},
    "all of it": {"STUB_FAIL": "plugins"},  # also what would undo it
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_step_that_fails_leaves_nothing_behind(machine: Machine, failure: str) -> None:
    before = machine.files()
    out = machine.setup(code=1, **FAILURES[failure])
    assert "the disk said no" in out
    assert "undoing what it did" in out
    assert "not undone" not in out
    untouched(machine, before)
    assert DONE in machine.setup()  # and it works once that is put right
    machine.run("uninstall", "--yes", "--purge")
    untouched(machine, before)


def test_a_sidecar_that_does_not_come_up_is_undone(machine: Machine) -> None:
    before = machine.files()
    (machine.home / "sidecar.db" / "x").mkdir(parents=True)  # its database is a folder: only the sidecar finds that out
    out = machine.setup(code=1)
    assert "did not come up" in out
    assert "stopped nats-server and the sidecar" in out
    assert machine.files() == before
    assert [one.name for one in machine.home.iterdir()] == ["sidecar.db"]
    wait_until(lambda: not machine.processes(), 10, "the end of what was stopped")


@contextlib.contextmanager
def a_gateway_without_the_plugin(machine: Machine) -> Iterator[None]:
    """What answers where the Gateway should be, and does nothing else."""

    class Healthy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    port = pyjson5.decode(machine.config.read_text())["gateway"]["port"]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Healthy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def test_a_gateway_that_can_not_be_restarted_is_told_and_setup_is_undone(machine: Machine) -> None:
    before = machine.files()
    with a_gateway_without_the_plugin(machine):
        out = machine.setup(code=1, STUB_FAIL="gateway restart")
    assert _called(machine, "gateway restart")
    assert "could not restart its Gateway, which had not loaded the plugin (it still runs)" in " ".join(out.split())
    assert "the disk said no" in out
    assert "undoing what it did" in out
    assert "not undone" not in out
    untouched(machine, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
@pytest.mark.parametrize("at", ["plugins install", "config set"])
def test_a_setup_that_is_ended_is_undone(machine: Machine, number: int, at: str) -> None:
    before = machine.files()
    # What a killed one was waiting for goes on, and does its work later: that is undone, too.
    seconds = "5" if number == signal.SIGKILL else "60"
    process = machine.start("setup", "--yes", *machine.options, STUB_SLOW=at, STUB_SECONDS=seconds)
    wait_until(lambda: machine.calls.exists() and _called(machine, at), 60, at)
    time.sleep(0.2)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    if number == signal.SIGKILL:
        assert machine.home.exists()
        out = machine.run("uninstall", "--yes") if at == "config set" else machine.setup(code=1, STUB_FAIL="plugins")
        assert f"an earlier one (process {process.pid}) was interrupted" in out
    else:
        assert process.returncode == 128 + number, err
        assert "undoing what it did" in err
    untouched(machine, before)


def _called(machine: Machine, beginning: str) -> bool:
    lines = machine.calls.read_text().splitlines()
    return any(line.startswith(beginning) and "--help" not in line for line in lines)


def test_an_installation_that_was_there_stays_byte_for_byte_and_runs_on(machine: Machine) -> None:
    assert DONE in machine.setup()
    config = machine.home / "config.toml"
    config.write_text(config.read_text() + '\n[log]\nlevel = "debug"\n# mine\n')
    installed = machine.state / "extensions" / openclaw_stub.PLUGIN / "index.js"
    installed.write_text(installed.read_text() + "\n// the release before\n")
    before = machine.files()
    other = ["--sidecar-port", str(free_port())]
    out = machine.run("setup", "--yes", *other, code=1, STUB_FAIL="plugins install")
    assert "started the service again as it was" in out
    after = machine.files()
    assert {name for name in before if after.get(name) != before[name]} == set()
    assert set(after) == set(before)
    wait_until(lambda: _sidecar_answers(machine), 30, "the sidecar to answer")


def _sidecar_answers(machine: Machine) -> bool:
    return bool(json.loads(machine.run("status", "--json", code=3))["sidecar"]["reachable"])


@pytest.mark.parametrize("version", ["2026.3.1", "2026.9.6"])
def test_what_others_write_meanwhile_is_kept(machine: Machine, version: str) -> None:
    at = "config set hooks.enabled" if version == "2026.3.1" else "config set"
    process = machine.start("setup", "--yes", *machine.options, STUB_SLOW=at, STUB_VERSION=version)
    wait_until(lambda: machine.calls.exists() and _called(machine, at), 60, at)
    config = json.loads(machine.config.read_text())
    config["agents"] = {"list": [{"id": "new"}]}
    machine.config.write_text(json.dumps(config))
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    now = json.loads(machine.config.read_text())
    assert now["agents"] == {"list": [{"id": "new"}]}
    assert openclaw_stub.PLUGIN not in json.dumps(now)
    assert not now.get("hooks")
    assert "changed by others meanwhile" in err
    assert not machine.home.exists()


def test_two_setups_at_once_do_not_meet(machine: Machine) -> None:
    process = machine.start("setup", "--yes", *machine.options, STUB_SLOW="plugins install")
    wait_until(lambda: machine.calls.exists() and _called(machine, "plugins install"), 60, "plugins install")
    for words in (("setup", "--yes"), ("uninstall", "--yes")):
        assert f"is running (process {process.pid})" in machine.run(*words, code=1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def test_the_session_that_all_agents_share_gets_hooks(machine: Machine) -> None:
    text = machine.config.read_text()
    machine.config.write_text(text.replace("{\n", '{\n  session: { scope: "global" },\n', 1))
    before = machine.files()
    out = machine.setup()
    assert "session.scope: global needs that" in out
    hooks = json.loads(machine.config.read_text())["hooks"]
    assert (hooks["enabled"], hooks["allowRequestSessionKey"]) == (True, True)
    assert (machine.home / "hook-token").read_text().strip() == hooks["token"]
    machine.run("uninstall", "--yes", "--purge")
    untouched(machine, before)


# Disks ---------------------------------------------------------------------------------------------------------

COMMANDS = (
    "setup --yes",
    "uninstall --yes",
    "start",
    "up",
    "config set log.level debug",
    "backup",
    "restart",
    "status",
    "doctor",
    "logs",
    "routes",
    "migrate --yes",
)


@pytest.mark.skipif(os.geteuid() != 0 and not shutil.which("unshare"), reason="needs a mount of its own")
@pytest.mark.parametrize("kind", ["full", "read-only"])
def test_a_full_or_read_only_disk_is_told_in_a_line_by_every_command(machine: Machine, kind: str) -> None:
    script = [f"mount -t tmpfs -o size=64k none {machine.state}", f"cp {machine.folder}/kept.json {machine.config}"]
    shutil.copy(machine.config, machine.folder / "kept.json")
    if kind == "full":
        script += [f"dd if=/dev/zero of={machine.state}/fill bs=4k 2>/dev/null"]
    else:
        script += [f"mount -o remount,ro {machine.state}"]
    ours = f"{sys.executable} -m openclaw_nats"
    for words in COMMANDS:
        script += [f"echo '== {words}'; timeout 60 {ours} {words} </dev/null 2>&1; echo \"== $?\""]
    told = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", "; ".join(script)],
        env=machine.environment, capture_output=True, text=True, timeout=300, check=True,
    ).stdout  # fmt: skip
    assert "Traceback" not in told
    assert "fault of openclaw-nats" not in told
    parts = told.split("== ")[1:]
    by_name = {one.partition("\n")[0]: one.partition("\n")[2] for one in parts[::2]}
    for words in ("setup --yes", "config set log.level debug"):
        assert ("the disk is full" if kind == "full" else "read-only") in by_name[words], by_name[words]
