"""`up` and the commands around it, as real processes: restarts, stop order, ports, errors in plain words."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from openclaw_nats.port_holder import free_port
from tests.support.processes import wait_until


class Up:
    """`openclaw-nats up` in the foreground on a state directory of its own."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.home = state / "nats"
        self.ports = ["--sidecar-port", str(free_port()), "--nats-port", str(free_port())]
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("OPENCLAW_", "NATS_"))}
        self.environment = clean | {"OPENCLAW_STATE_DIR": str(state), "HOME": str(state)}
        self.process: subprocess.Popen[str] | None = None

    def start(self, *more: str) -> None:
        """Start it and wait until events can be stored."""
        command = [sys.executable, "-m", "openclaw_nats", "up", *self.ports, *more]
        with (self.state / "out").open("a") as log:
            self.process = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, text=True
            )
        self.wait_up()

    def wait_up(self, seconds: float = 30) -> None:
        """Wait until events can be stored."""
        wait_until(lambda: self.run("status", "--json")[1].get("status") == "up", seconds, "up")

    def run(self, *arguments: str) -> tuple[int, Any]:
        """Run a command; its exit code and decoded output (text when it is no JSON)."""
        command = [sys.executable, "-m", "openclaw_nats", *arguments]
        done = subprocess.run(
            command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        with contextlib.suppress(ValueError):
            return done.returncode, json.loads(done.stdout)
        return done.returncode, done.stdout + done.stderr

    def pids(self) -> dict[str, int]:
        """The children's process ids."""
        children = json.loads((self.home / "run" / "up.json").read_text())["children"]
        return {name: child["pid"] for name, child in children.items()}

    def close(self) -> None:
        """Stop it for good."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    state = tmp_path / "state"
    state.mkdir()
    one = Up(state)
    yield one
    one.close()


def test_killed_children_come_back_and_events_stay(up: Up) -> None:
    up.start()
    up.run("publish", "agent.events.custom.a", "1", "--id", "one")
    for name in ("sidecar", "nats-server"):
        before = up.pids()[name]
        os.kill(before, signal.SIGKILL)
        wait_until(lambda name=name, before=before: up.pids()[name] != before, what=f"a new {name}")  # type: ignore[misc]
        up.wait_up()
    up.run("publish", "agent.events.custom.a", "2", "--id", "two")
    code, out = up.run("events")
    assert code == 0
    assert len(str(out).splitlines()) == 2
    assert "killed by SIGKILL" in (up.state / "out").read_text()
    code, out = up.run("logs", "-n", "5")
    assert code == 0
    assert "sidecar: " in out
    assert "nats-server: " in out
    lines = str(up.run("logs", "-n", "5", "--json")[1]).splitlines()
    assert {json.loads(line)["log"] for line in lines} >= {"sidecar", "nats-server"}


def test_sigterm_stops_everything_and_sigkill_leaves_no_orphan(up: Up) -> None:
    up.start()
    pids = up.pids().values()
    assert up.process is not None
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(15) == 0
    assert not [pid for pid in pids if _alive(pid)]
    up.start()
    pids = up.pids().values()
    up.process.kill()
    up.process.wait(10)
    wait_until(lambda: not [pid for pid in pids if _alive(pid)], what="the children to end")


def test_no_process_writes_a_core_file_whatever_the_shell_allows(up: Up) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        up.start()
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    assert up.process is not None
    pids = {**up.pids(), "up": up.process.pid}
    assert {name: resource.prlimit(pid, resource.RLIMIT_CORE)[0] for name, pid in pids.items()} == dict.fromkeys(
        pids, 0
    )


def test_two_supervisors_do_not_share_a_state_directory(up: Up) -> None:
    up.start()
    code, out = up.run("up", "--quiet")
    assert code == 1
    assert "already running" in out


def test_start_stop_restart_without_a_terminal(up: Up) -> None:
    up.start()
    assert up.process is not None
    up.process.send_signal(signal.SIGTERM)
    up.process.wait(15)
    assert up.run("start", "--json")[1]["status"] == "up"
    first = up.pids()
    assert up.run("start")[0] == 0
    assert up.pids() == first
    assert up.run("restart")[0] == 0
    assert set(up.pids().values()).isdisjoint(first.values())
    assert up.run("stop", "--json") == (0, {"stopped": True})
    assert up.run("stop", "--json") == (0, {"stopped": False})


def test_config_set_and_restart_leave_the_foreground_process_alone(up: Up) -> None:
    """An init that runs `up` sees no end; a process put in its place would keep it from ever starting again."""
    up.start()
    assert up.process is not None
    before = up.pids()
    code, out = up.run("config", "set", "log.level", "debug", "--json")
    assert (code, out["restarted"], out["problems"]) == (0, True, [])
    assert up.run("status", "--json")[1]["status"] == "up"
    after = up.pids()
    assert after["nats-server"] == before["nats-server"], "only what the setting concerns is restarted"
    assert after["sidecar"] != before["sidecar"]
    assert up.run("config", "set", "durability", "interval")[0] == 0
    assert "sync_interval: 2m" in (up.home / "nats-server.conf").read_text()
    assert set(up.pids().values()).isdisjoint(after.values())
    before = up.pids()
    assert up.run("restart")[0] == 0
    assert set(up.pids().values()).isdisjoint(before.values())
    assert up.process.poll() is None
    assert json.loads((up.home / "run" / "up.json").read_text())["pid"] == up.process.pid
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(15) == 0


def test_config_set_ends_the_wait_of_a_sidecar_that_can_not_start(up: Up) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        up.home.mkdir()
        (up.home / "config.toml").write_text(
            f'[sidecar]\nport = {up.ports[1]}\nurl = "http://127.0.0.1:{up.ports[1]}"\n'
        )
        free, up.ports = up.ports[1], up.ports[2:]
        up.start()
        up.run("config", "set", "sidecar.port", str(taken.getsockname()[1]))
        wait_until(lambda: "can't listen" in (up.state / "out").read_text(), what="the message")
        assert up.run("config", "set", "sidecar.port", free)[0] == 0
    assert up.run("status", "--json")[1]["status"] == "up"


def test_a_setting_that_the_environment_beats_is_not_called_set(up: Up) -> None:
    up.environment["OPENCLAW_NATS_LOG_LEVEL"] = "warning"
    up.start()
    del up.environment["OPENCLAW_NATS_LOG_LEVEL"]  # the service has it, whoever calls `config set` has not
    code, out = up.run("config", "set", "log.level", "debug")
    assert code == 1
    assert "OPENCLAW_NATS_LOG_LEVEL in the environment overrides config.toml" in out


def test_config_says_when_a_setting_applies_and_what_the_stream_refused(up: Up) -> None:
    up.start()
    assert up.run("config", "get", "durability", "--json")[1]["applies"] == "at nats-server's next start"
    assert all(one["applies"] for one in up.run("config", "--json")[1].values())
    code, out = up.run("config", "set", "stream.replicas", "3")
    assert code == 1
    assert "stream.replicas is 3, but stream agent_events has 1 (refused" in out


def test_a_stop_does_not_wait_for_those_who_listen(up: Up) -> None:
    up.start()
    command = [sys.executable, "-m", "openclaw_nats", "tail", "--json"]
    with (up.state / "tail").open("w") as file:
        tail = subprocess.Popen(command, env=up.environment, stdout=file, stderr=subprocess.DEVNULL)
    try:
        up.run("publish", "agent.events.custom.a", "1", "--id", "one")
        wait_until(lambda: "one" in (up.state / "tail").read_text(), what="the event")
        up.run("stop")
        log = (up.home / "logs" / "sidecar.log").read_text()
        assert "sidecar.stopped" in log
        assert "timeout graceful shutdown exceeded" not in log
    finally:
        tail.kill()
        tail.wait(10)


def test_what_is_wrong_is_said_in_two_lines(up: Up) -> None:
    for arguments, words in (
        (["status"], "api-key is missing or empty"),
        (["events"], "api-key is missing"),
        (["publish", "agent.events.custom.a", "1"], "openclaw-nats setup"),
        (["logs"], "no logs"),
        (["config", "get", "sidecar.prot"], "Did you mean sidecar.port?"),
        (["config", "set", "sidecar.port", "99999"], "a port from 1 to 65535"),
    ):
        code, out = up.run(*arguments)
        assert code == (1 if arguments == ["logs"] else 2 if arguments[0] == "config" else 3), (arguments, out)
        assert words in " ".join(str(out).split()), (arguments, out)
        assert "Traceback" not in str(out)


def test_a_taken_port_is_named(up: Up) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        up.ports[1] = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "openclaw_nats", "up", *up.ports]
        with (up.state / "out").open("a") as log:
            up.process = subprocess.Popen(command, env=up.environment, stdout=log, stderr=log, text=True)
        wait_until(lambda: "can't listen" in (up.state / "out").read_text(), what="the message")
    up.wait_up()  # the port is free now


def test_tail_waits_for_a_sidecar_that_is_away_and_prints_each_event_once(up: Up) -> None:
    up.start()
    out = up.state / "tail"
    with out.open("w") as file:
        command = [sys.executable, "-m", "openclaw_nats", "tail", "--json"]
        tail = subprocess.Popen(command, env=up.environment, stdout=file, stderr=subprocess.DEVNULL)
    try:
        time.sleep(1.5)
        up.run("publish", "agent.events.custom.a", "1", "--id", "one")
        wait_until(lambda: "one" in out.read_text(), what="the first event")
        os.kill(up.pids()["sidecar"], signal.SIGKILL)
        time.sleep(1)
        up.wait_up()
        up.run("publish", "agent.events.custom.a", "2", "--id", "two")
        wait_until(lambda: "two" in out.read_text(), what="the second event")
        assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == ["one", "two"]
    finally:
        tail.kill()
        tail.wait(10)


def test_jetstream_that_was_switched_off_by_a_full_disk_is_restarted(up: Up) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root or user namespaces (dev.py test uses them where it can)")
    store = up.home / "jetstream"
    store.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(store)], check=True)
    try:
        up.start()
        up.run("publish", "agent.events.custom.a", "1", "--id", "before")
        filler = store / "filler"
        with contextlib.suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(b"x" * 65536)
                file.flush()
        deadline = time.monotonic() + 60
        while up.run("publish", "agent.events.custom.big", json.dumps("x" * 100_000))[0] == 0:
            assert time.monotonic() < deadline, "a full disk took everything"
        filler.unlink()
        wait_until(lambda: up.run("publish", "agent.events.custom.a", "1", "--id", "after")[0] == 0, 90, "recovery")
        ids = [json.loads(line)["id"] for line in str(up.run("events", "--json")[1]).splitlines()]
        assert "before" in ids
        assert "after" in ids
    finally:
        up.close()
        time.sleep(1)
        subprocess.run(["umount", "-l", str(store)], check=True)


def test_the_sidecar_stays_under_its_memory_limit(up: Up) -> None:
    up.start()
    sidecar = psutil.Process(up.pids()["sidecar"])
    assert sidecar.memory_info().rss < 90 << 20


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_uninstall_works_when_openclaw_is_gone_already(up: Up) -> None:
    up.start()
    assert up.process is not None
    up.process.send_signal(signal.SIGTERM)
    up.process.wait(15)
    up.run("start")
    pids = up.pids().values()
    up.environment["PATH"] = "/usr/bin:/bin"
    code, out = up.run("uninstall", "--purge", "--yes")
    assert code == 0, out
    assert "the command `openclaw` is not on PATH" in out
    assert not up.home.exists()
    assert not [pid for pid in pids if _alive(pid)]
