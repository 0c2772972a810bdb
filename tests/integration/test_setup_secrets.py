"""No secret is in a command line or in an environment that needs it not, whatever setup and its neighbours run.

Every process that a Python of ours starts is noted by an audit hook; the made-up `openclaw` notes nothing itself.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.test_migrate import KEY, fill
from tests.integration.test_setup import Machine, machine
from tests.support.processes import NatsServer

__all__ = ["machine"]  # the fixture

NOTED = """
import json, os, sys

def note(event, arguments):
    if event == "subprocess.Popen":
        program, words, _, environment = arguments
        given = os.environ if environment is None else environment
        told = {os.fsdecode(name): os.fsdecode(value) for name, value in given.items()}
        line = {"words": [os.fsdecode(one) for one in words], "environment": told}
        with open(os.environ["NOTED_CALLS"], "a") as file:
            file.write(json.dumps(line) + "\\n")

if "NOTED_CALLS" in os.environ:
    sys.addaudithook(note)
"""


def noting(machine: Machine) -> Path:
    """Have everything noted that is started from now on; the file."""
    folder = machine.folder / "noting"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(NOTED)
    calls = machine.folder / "noted"
    paths = [str(folder), machine.environment.get("PYTHONPATH", "")]
    machine.environment |= {"PYTHONPATH": ":".join(filter(None, paths)), "NOTED_CALLS": str(calls)}
    return calls


def noted(calls: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in calls.read_text().splitlines()]


@pytest.mark.parametrize("version", ["2026.3.1", "2026.9.6"])
def test_no_secret_is_told_to_a_child(machine: Machine, tmp_path: Path, version: str) -> None:
    calls = noting(machine)
    older_nats = NatsServer(tmp_path / "older-nats")
    older_nats.start()
    try:
        fill(machine.state / "nats-plugin" / "sidecar" / "data" / "nats-sidecar.db")
        (machine.state / ".env").write_text(f"NATS_PLUGIN_API_KEY={KEY}\nNATS_SERVERS={older_nats.url}\n")
        machine.setup(STUB_VERSION=version)
        hidden = {name: (machine.home / name).read_text().strip() for name in ("api-key", "nats-password")}
        if version == "2026.3.1":
            hidden["hook token"] = json.loads(machine.config.read_text())["hooks"]["token"]
        machine.start("doctor", STUB_VERSION=version).communicate(timeout=120)
        machine.run("migrate", "--yes", STUB_VERSION=version)
        machine.run("migrate", "--undo", STUB_VERSION=version)
        hidden["key after"] = (machine.home / "api-key").read_text().strip()
        machine.run("uninstall", "--yes", STUB_VERSION=version)
    finally:
        older_nats.close()
    lines = noted(calls)
    commands = [" ".join(one["words"]) for one in lines]
    for expected in (
        "plugins install",
        "config set",
        "plugins uninstall",
        "openclaw_nats up",
        "nats-server",
        "sidecar",
    ):
        assert any(expected in one for one in commands), (expected, commands)
    hidden["older key"] = KEY
    for name, secret in hidden.items():
        assert len(secret) > 20
        assert [one for one in commands if secret in one] == [], name
        assert [one["words"] for one in lines if secret in one["environment"].values()] == [], name


def test_nats_server_gets_nothing_of_the_environment_but_where_it_is(machine: Machine) -> None:
    calls = noting(machine)
    given = {
        name: secrets.token_hex(12) for name in ("OPENCLAW_HOOK_TOKEN", "OPENCLAW_GATEWAY_TOKEN", "OPENAI_API_KEY")
    }
    given["NATS_SERVERS"] = "nats://user:" + secrets.token_hex(12) + "@127.0.0.1:9"
    machine.setup(**given)
    servers = [one for one in noted(calls) if "-c" in one["words"] and one["words"][0].endswith("nats-server")]
    assert servers
    for one in servers:
        assert one["environment"]["OPENCLAW_STATE_DIR"] == str(machine.state)
        assert set(given) & set(one["environment"]) == set()
