"""The systemd unit's text: what it runs, in which environment, and names that do not collide."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from openclaw_nats.installer.services import SystemdUser
from openclaw_nats.service.locations import Locations


def test_the_unit_runs_up_for_its_own_state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENCLAW_STATE_DIR", str(tmp_path))
    monkeypatch.delenv("OPENCLAW_CONFIG_PATH", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    service = SystemdUser(Locations(tmp_path / "nats"))
    unit = configparser.ConfigParser(strict=True, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(service.text())
    assert unit["Service"]["ExecStart"] == f"{sys.executable} -m openclaw_nats up --quiet"
    assert unit["Service"]["Environment"] == f'"OPENCLAW_STATE_DIR={tmp_path}"'
    assert unit["Service"]["Restart"] == "always"
    assert unit["Service"]["NoNewPrivileges"] == "yes"
    assert service.path.parent == tmp_path / "config" / "systemd" / "user"


def test_installations_have_units_of_their_own() -> None:
    names = {SystemdUser(Locations(Path(home))).unit for home in ("/a/nats", "/b/nats")}
    assert len(names) == 2
    default = SystemdUser(Locations(Path.home() / ".openclaw" / "nats"))
    assert default.unit == "openclaw-nats.service"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine")
def test_systemd_itself_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    service = SystemdUser(Locations(tmp_path / "nats"))
    unit = tmp_path / service.unit
    unit.write_text(service.text())
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(unit)],
        env=dict(os.environ) | {"XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
