"""The end of setup where the Gateway does not load the plugin: bounded, with the Gateway's own reason."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from types import SimpleNamespace

from openclaw_nats.cli.plugin_wait import wait_for_plugin
from openclaw_nats.installer.openclaw import OpenClaw
from openclaw_nats.settings import load
from tests.support.inbound import running_bus

REFUSES = """#!/bin/sh
case "$*" in
  "plugins --help") echo "  reload  loads a plugin again" ;;
  *--help) ;;
  *) echo "the plugin is blocked by policy" >&2; exit 1 ;;
esac
"""

# A Gateway of 2026.4: it loads no plugin again by command, but looks when its configuration is written.
LOOKS = """#!/bin/sh
case "$*" in
  *--help) ;;
  "config set plugins.entries.openclaw-nats.enabled true --strict-json") touch "{seen}" ;;
  *) exit 1 ;;
esac
"""


def test_a_gateway_that_refuses_for_good_is_not_waited_for_long(tmp_path: Path) -> None:
    command = tmp_path / "openclaw"
    command.write_text(REFUSES)
    command.chmod(0o755)
    said: list[str] = []
    with running_bus(tmp_path) as bus:
        openclaw = OpenClaw(str(command), bus.sidecar.state, bus.sidecar.state / "openclaw.json")
        setup = SimpleNamespace(openclaw=openclaw, settings=lambda: load(bus.sidecar.home), reload_due=True)
        began = time.monotonic()
        wait_for_plugin(setup, lambda *parts: said.append(" ".join(parts)), was_running=True, patience=4.0)
        assert time.monotonic() - began < 30
    assert [line[0] for line in said] == ["·", "!"]
    assert all("blocked by policy" in line for line in said)
    assert "trying again for 4 s" in said[0]
    assert "still not loaded" in said[1]


def test_a_gateway_that_missed_its_configuration_has_it_written_again(tmp_path: Path) -> None:
    command, seen = tmp_path / "openclaw", tmp_path / "seen"
    command.write_text(LOOKS.format(seen=seen))
    command.chmod(0o755)
    said: list[str] = []
    headers = {"Content-Type": "application/json"}
    with running_bus(tmp_path) as bus:

        def report() -> None:
            body = {
                "pluginVersion": "0.2.0",
                "gatewayVersion": "2026.4.29",
                "conversationAccess": seen.exists(),
                "problems": [],
                "guard": {"turnsBy": "session", "asks": False},
                "spool": {"events": 0, "bytes": 0, "oldestSeconds": 0, "dropped": 0, "rejected": 0},
            }
            assert bus.sidecar.request("POST", "/api/plugin/report", json.dumps(body).encode(), headers)[0] == 204

        def settings() -> object:
            return load(bus.sidecar.home)

        stopped = threading.Event()
        reports = threading.Thread(target=lambda: [report() for _ in iter(lambda: stopped.wait(0.5), True)])
        report()
        reports.start()
        try:
            openclaw = OpenClaw(str(command), bus.sidecar.state, bus.sidecar.state / "openclaw.json")
            setup = SimpleNamespace(openclaw=openclaw, settings=settings, reload_due=False)
            wait_for_plugin(setup, lambda *parts: said.append(" ".join(parts)), was_running=True)
        finally:
            stopped.set()
            reports.join()
    assert seen.exists()
    assert [line[0] for line in said] == ["✓"]
    assert "sends its events" in said[0]
