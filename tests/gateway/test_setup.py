"""setup, status and uninstall on a real, running Gateway, as an operator uses them: through the command."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from openclaw_nats.demo.gateway import Gateway
from openclaw_nats.demo.gateway_client import connected
from openclaw_nats.port_holder import free_port
from tests.gateway.world import only, prefix
from tests.support.processes import wait_until
from tests.support.releases import newest_first

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(600)]


class Install:
    """A running Gateway without us, and our command on it. `seconds` is how long each command may take."""

    def __init__(self, folder: Path, version: str, seconds: float = 180, config: dict[str, Any] | None = None) -> None:
        self.seconds = seconds
        self.gateway = Gateway(prefix(version), folder / "openclaw", config=config or {})
        self.home = self.gateway.state / "nats"
        self.ports = ["--sidecar-port", str(free_port()), "--nats-port", str(free_port())]

    def run(self, *arguments: str, code: int = 0, **environment: str) -> str:
        """Run `openclaw-nats` without a terminal; return what it printed on stdout."""
        done = subprocess.run(
            [sys.executable, "-m", "openclaw_nats", *arguments],
            env=self.gateway.env() | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=self.seconds,
            check=False,
        )
        assert done.returncode == code, f"{arguments}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, *arguments: str, code: int = 0) -> Any:
        """The same with --json, decoded."""
        return json.loads(self.run(*arguments, "--json", code=code))

    def status(self) -> Any:
        """`status --json`, whatever it says."""
        command = [sys.executable, "-m", "openclaw_nats", "status", "--json"]
        done = subprocess.run(command, env=self.gateway.env(), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode in (0, 3), done.stderr
        return json.loads(done.stdout)

    def events(self, *arguments: str) -> list[dict[str, Any]]:
        """`events --json`, decoded."""
        return [json.loads(line) for line in self.run("events", "--json", *arguments).splitlines()]

    def openclaw(self, *arguments: str) -> None:
        """Run `openclaw`."""
        command = [str(self.gateway.prefix.openclaw), *arguments]
        subprocess.run(command, env=self.gateway.env(), check=True, capture_output=True, timeout=self.seconds)

    def turn(self, message: str) -> None:
        """Run a turn on the Gateway."""
        import asyncio

        async def one() -> None:
            async with connected(self.gateway) as client:
                await client.turn(message)

        asyncio.run(one())


def running(one: Install) -> Iterator[Install]:
    """What a fixture does with it: start its Gateway, lend it, take everything away."""
    one.gateway.start()
    try:
        yield one
    finally:
        try:
            one.run("uninstall", "--purge", "--yes")
        finally:
            one.gateway.close()
            _end_all(one.gateway.state)  # a Gateway of 2026.3 has replaced its own process with the plugin's coming


@pytest.fixture(scope="module", params=newest_first("2026.9.6", "2026.3.1"))
def install(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Install]:
    yield from running(Install(tmp_path_factory.mktemp("setup"), request.param))


def test_a_dry_run_prints_the_plan_and_changes_nothing(install: Install) -> None:
    before = install.gateway.config_path.read_bytes()
    told = install.json("setup", "--dry-run", *install.ports)
    plan = {step["step"]: step["change"] for step in told["plan"]}
    assert told["service"] in ("detached", "systemd", "launchd")  # containers only if asked for
    assert "nats-server" in plan["NATS"]
    assert plan["API key"]
    assert "plugin" in plan["Plugin"]
    assert install.gateway.config_path.read_bytes() == before
    assert not install.home.exists()


def test_setup_on_a_running_gateway_delivers_events_within_seconds(install: Install) -> None:
    install.gateway.config["before"] = install.gateway.config_path.read_bytes()
    out = install.run("setup", "--yes", *install.ports)
    assert "sends its events" in out, out
    install.turn('!call exec {"command":"exit 3"}')
    wait_until(lambda: any("run_ended" in one["subject"] for one in install.events()), what="the turn's events")
    assert only(install.events(), "tool.exec.failed")["data"]["error"]


def test_an_event_wakes_the_agent_and_the_commands_tell(install: Install) -> None:
    install.run("routes", "add", "door", "agent.events.custom.door.>", "agent:main:door", "--when", "data.open")
    install.run("publish", "agent.events.custom.door.front", '{"open": true}')
    install.run("publish", "agent.events.custom.door.front", '{"open": false}')
    receipts = wait_until(lambda: install.json("receipts")["receipts"], 60, "the receipt")
    assert (receipts[0]["route"], receipts[0]["events"]) == ("door", 1)
    assert receipts[0]["way"] == ("hooks" if install.gateway.old else "plugin")
    assert "custom.door.front" in install.run("receipts", "show", receipts[0]["id"])
    listed = install.run("routes")
    assert "session agent:main:door" in listed, listed
    assert install.json("pending") == {"deliveries": [], "cursor": None, "total": 0}
    assert "No dead letters." in install.run("dead")
    tried = install.json("routes", "test", "door", "--since", "1h")
    assert (tried["events"], tried["matched"], tried["turns"]) == (2, 1, 1)
    install.run("routes", "remove", "door")


def test_secrets_are_for_the_owner_only(install: Install) -> None:
    names = (
        "api-key",
        "nats-password",
        "nats-server.conf",
        "config.toml",
        "logs/sidecar.log",
        "hook-token",
        "sidecar.db",
    )
    for name in names:
        assert (install.home / name).stat().st_mode & 0o077 == 0, name
    key = (install.home / "api-key").read_text().strip()
    password = (install.home / "nats-password").read_text().strip()
    hook_token = (install.home / "hook-token").read_text().strip()
    assert hook_token == install.gateway.hook_token
    for path in (install.home / "logs").iterdir():
        assert key not in path.read_text()
        assert hook_token not in path.read_text()
        assert password not in path.read_text()
    listing = "\n".join(" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"]))
    assert key not in listing
    assert password not in listing


def test_nats_refuses_who_has_no_password(install: Install) -> None:
    port = int(install.status()["nats"]["url"].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as link:
        link.sendall(b'CONNECT {"verbose":false}\r\nPING\r\n')
        answer = b""
        while part := link.recv(4096):
            answer += part
    assert b"Authorization Violation" in answer


def test_setup_again_changes_nothing(install: Install) -> None:
    config, files = install.gateway.config_path.read_bytes(), _files(install.home)
    assert install.json("setup", "--yes", *install.ports)["changed"] == []
    assert install.gateway.config_path.read_bytes() == config
    assert _files(install.home) == files


def test_status_says_how_everything_is(install: Install) -> None:
    parts = ("nats", "sidecar", "gateway", "plugin")
    wait_until(lambda: all(install.status()[part]["reachable"] for part in parts), 15, "every part to be reachable")
    report = install.json("status")
    for part in ("nats", "sidecar", "gateway", "plugin"):
        assert report[part]["reachable"] is True, report
        assert report[part]["since"]
        assert report[part]["version"]
    assert report["sidecar"]["eventsLastMinute"] >= 0
    assert "up" in install.run("status")


def test_publish_events_and_filters_through_the_command(install: Install) -> None:
    answer = install.json("publish", "agent.events.custom.cli", '{"a":1}', "--id", "cli-1", "--priority", "9")
    assert answer["duplicate"] is False
    assert install.json("publish", "agent.events.custom.cli", '{"a":1}', "--id", "cli-1")["duplicate"] is True
    found = install.events("--subject", "agent.events.custom.cli", "--since", "1h", "--limit", "5")
    assert [(one["id"], one["data"], one["priority"]) for one in found] == [("cli-1", {"a": 1}, 9)]
    install.run("publish", "agent.events..x", "{}", code=2)
    install.run("publish", "agent.events.x", "{", code=2)


def test_missing_conversation_access_is_told_and_setup_mends_it(install: Install) -> None:
    if install.gateway.old:
        assert any("no hooks for" in text for text in install.status()["plugin"]["notes"])
        return
    install.openclaw("config", "unset", "plugins.entries.openclaw-nats.hooks.allowConversationAccess")
    problems = install.status()["plugin"]["problems"]
    assert any("allowConversationAccess" in text for text in problems), problems
    assert install.json("setup", "--yes", *install.ports)["changed"] == ["Plugin's configuration"]
    wait_until(lambda: install.status()["plugin"]["problems"] == [], 40, "the problem to be gone")


def test_stop_keeps_events_in_the_spool_and_start_delivers_them(install: Install) -> None:
    install.run("stop")
    assert install.status()["sidecar"]["reachable"] is False
    install.turn("while it is stopped")
    count = sum("run_ended" in path.read_text() for path in (install.home / "spool").glob("*.ndjson"))
    assert count >= 1
    before = len(run_ends(install, start=True))
    wait_until(lambda: len(run_ends(install)) > before or before >= 2, 40, "the spooled events")
    events = install.events()  # once: more may come while it is asked
    assert len({one["id"] for one in events}) == len(events)


def test_settings_reach_the_plugin_without_a_restart_of_the_gateway(install: Install) -> None:
    install.run("config", "set", "filter.block", '["agent.events.tool.>"]')
    install.run("config", "set", "capture.default", "payload")
    wait_until(lambda: install.status()["plugin"]["reachable"], 40, "the plugin to report again")
    time.sleep(11)  # the plugin looks for changed settings every 10 s
    before = len(install.events())
    install.turn('!call exec {"command":"echo hidden"}\n!say captured reply')
    wait_until(lambda: any("run_ended" in one["subject"] for one in install.events()[before:]), what="the turn")
    later = install.events()[before:]
    assert not [one for one in later if ".tool." in one["subject"]]
    wait_until(
        lambda: any(one["data"].get("assistantTexts") == ["captured reply"] for one in install.events()[before:]),
        what="the reply in llm.output",
    )


def test_uninstall_restores_openclaws_configuration(install: Install) -> None:
    install.run("uninstall", "--yes")
    entry = json.loads(install.gateway.config_path.read_text()).get("plugins", {}).get("entries", {})
    assert "openclaw-nats" not in entry
    assert not (install.gateway.state / "extensions" / "openclaw-nats").exists()
    assert (install.home / "api-key").exists()
    if not install.gateway.old:  # a Gateway of 2026.3 restarts itself and writes its own defaults into the file
        assert install.gateway.config_path.read_bytes() == install.gateway.config["before"]
    assert "not running" in install.run("stop")
    aside = install.home.with_name("nats.before-restore-20261124-230000")
    aside.mkdir()
    assert f"kept {aside}" in " ".join(install.run("uninstall", "--purge", "--yes").split())
    assert not install.home.exists()


def _end_all(state: Path) -> None:
    """Kill every process that works on a state directory, also one that is about to take another's place."""
    quiet = 0
    while quiet < 5:
        quiet += 1
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("OPENCLAW_STATE_DIR") == str(state):
                    process.kill()
                    quiet = 0
        time.sleep(0.1)


def _files(home: Path) -> dict[str, int]:
    stable = [home / name for name in ("api-key", "nats-password", "config.toml", "plugin.json", "setup.json")]
    return {path.name: os.stat(path).st_mtime_ns for path in stable}


def run_ends(install: Install, *, start: bool = False) -> list[dict[str, Any]]:
    if start:
        install.run("start")
    return [one for one in install.events() if "run_ended" in one["subject"]]
