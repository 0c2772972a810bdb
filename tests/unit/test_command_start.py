"""What a command imports is what its start costs: commands that speak no NATS load no client of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Each takes a tenth of a second or more to import.
HEAVY = {"aiohttp", "asyncio", "nats", "openclaw_nats.jetstream.connection", "starlette", "structlog", "uvicorn"}


def loaded(folder: Path, code: str, *arguments: str) -> set[str]:
    """The modules that a Python of its own has loaded when it ends after this code."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE_", "OPENCLAW_"))}
    tell = "import atexit, sys; atexit.register(lambda: print('loaded', *sys.modules, file=sys.__stderr__)); "
    done = subprocess.run(
        [sys.executable, "-c", tell + code, *arguments],
        env=environment | {"OPENCLAW_STATE_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    "command", ["status", "start", "stop", "restart", "routes", "events", "pause", "cron", "config"]
)
def test_a_command_loads_no_client_of_nats_and_no_server(command: str, tmp_path: Path) -> None:
    modules = loaded(tmp_path, "from openclaw_nats.cli.main import main; main()", command)
    assert f"openclaw_nats.cli.{command}" in modules
    assert modules & HEAVY == set()


@pytest.mark.parametrize("module", ["installer.preflight", "installer.take_back", "installer.uninstall"])
def test_nor_do_setup_and_uninstall_until_they_speak_to_it(module: str, tmp_path: Path) -> None:
    modules = loaded(tmp_path, f"import openclaw_nats.{module}")
    assert f"openclaw_nats.{module}" in modules
    assert modules & HEAVY == set()


def test_what_runs_in_the_foreground_for_months_holds_neither(tmp_path: Path) -> None:
    modules = loaded(tmp_path, "import openclaw_nats.cli.up, openclaw_nats.service.supervisor")
    assert modules & HEAVY == {"asyncio"}
