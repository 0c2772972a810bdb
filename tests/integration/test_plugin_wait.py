"""The end of setup where the Gateway does not load the plugin: bounded, with the Gateway's own reason."""

from __future__ import annotations

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
