"""What systemd and launchd are told: what runs, in which environment, under names that do not collide."""

from __future__ import annotations

import configparser
import os
import plistlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from openclaw_nats.errors import SetupError
from openclaw_nats.installer import services
from openclaw_nats.installer.launchd import Launchd
from openclaw_nats.installer.services import Detached, SystemdUser, service_for
from openclaw_nats.locations import Locations


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
    assert default.unit == "openclaw-nats-bus.service"


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


# What launchd.plist(5) documents, of what we use.
DOCUMENTED = {
    "Label": str,
    "ProgramArguments": list,
    "EnvironmentVariables": dict,
    "RunAtLoad": bool,
    "KeepAlive": bool,
    "ThrottleInterval": int,
    "ProcessType": str,
    "Umask": int,
    "StandardOutPath": str,
    "StandardErrorPath": str,
}


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory, and a launchctl that notes what it is asked and keeps what is loaded."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OPENCLAW_STATE_DIR", str(tmp_path / ".openclaw"))
    tools = tmp_path / "tools"
    tools.mkdir()
    script = tools / "launchctl"
    script.write_text(
        f"""#!/bin/sh
echo "$@" >> {tmp_path}/asked
case "$1" in
  print) test -e {tmp_path}/loaded ;;
  bootstrap) plutil_label=$(grep -A1 Label "$3" | tail -1); touch {tmp_path}/loaded ;;
  bootout) rm {tmp_path}/loaded ;;
esac
"""
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    return tmp_path


def test_the_launch_agent_holds_only_what_launchd_documents(mac: Path) -> None:
    one = Launchd(Locations(mac / ".openclaw" / "nats"))
    assert one.install() is True
    assert one.install() is False
    found = plistlib.loads(one.path.read_bytes())
    assert {name: type(value) for name, value in found.items()} == DOCUMENTED
    assert found["ProgramArguments"] == [sys.executable, "-m", "openclaw_nats", "up", "--quiet"]
    assert found["EnvironmentVariables"]["OPENCLAW_STATE_DIR"] == str(mac / ".openclaw")
    assert found["ProcessType"] in ("Background", "Standard", "Adaptive", "Interactive")
    assert one.path == mac / "Library" / "LaunchAgents" / f"{found['Label']}.plist"


def test_the_label_is_the_same_in_install_start_and_stop(mac: Path) -> None:
    one = Launchd(Locations(mac / "elsewhere" / "nats"))
    one.install()
    one.start()
    one.stop()
    one.stop()
    one.remove()
    assert not one.path.exists()
    asked = (mac / "asked").read_text().splitlines()
    service = f"gui/{os.getuid()}/{one.label}"
    assert f"bootstrap gui/{os.getuid()} {one.path}" in asked
    assert f"kickstart {service}" in asked
    assert asked.count(f"bootout {service}") == 1
    assert one.label != Launchd(Locations(mac / ".openclaw" / "nats")).label


def test_the_kind_that_setup_noted_is_used_again(tmp_path: Path) -> None:
    where = Locations(tmp_path)
    assert isinstance(service_for(where, "launchd"), Launchd)
    assert isinstance(service_for(where, "systemd"), SystemdUser)
    assert isinstance(service_for(where, "detached"), Detached)


def test_a_service_manager_that_hangs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = tmp_path / "systemctl"
    stub.write_text("#!/bin/sh\nexec sleep 30\n")
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(services, "_ACT_SECONDS", 0.3)
    monkeypatch.setattr(services, "_LOOK_SECONDS", 0.3)
    assert not services.SystemdUser.available()
    with pytest.raises(SetupError, match=r"systemctl --user start .* did not end within 0\.3 s") as told:
        services.SystemdUser(Locations(tmp_path)).start()
    assert "systemctl --user status" in told.value.hint
