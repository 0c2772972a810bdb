"""setup and uninstall where somebody has been before, or where the Gateway is in the middle of a turn."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import openclaw_nats
from openclaw_nats.plugin_files import plugin_dir
from tests.gateway.test_setup import Install, run_ends, running
from tests.support import model_log
from tests.support.processes import wait_until
from tests.support.releases import newest_first

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(600)]


@pytest.fixture(scope="module", params=newest_first("2026.9.6", "2026.3.1"))
def install(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Install]:
    yield from running(Install(tmp_path_factory.mktemp("again"), request.param))


def test_set_up_again_on_the_gateway_that_never_stopped_it_works_as_before(install: Install) -> None:
    """The Gateway ran while the folder of the plugin's spool was deleted under it."""
    install.run("setup", "--yes", *install.ports)
    _turn(install, "!say once")
    wait_until(lambda: run_ends(install), 40, "the turn's events")
    install.run("uninstall", "--purge", "--yes")
    assert not install.home.exists()
    install.run("setup", "--yes", *install.ports)
    _turn(install, "!say once more")
    wait_until(lambda: run_ends(install), 40, "the turn's events")
    if install.gateway.old:
        return
    assert install.status()["plugin"]["problems"] == []
    wait_until(lambda: any("llm.output" in one["subject"] for one in install.events()), 20, "llm.output")


def test_an_upgrade_restarts_what_ran_of_the_release_before(install: Install, tmp_path: Path) -> None:
    copy = tmp_path / "openclaw_nats"
    shutil.copytree(Path(openclaw_nats.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "__init__.py").write_text('__version__ = "0.0.9"\n')
    (tmp_path / "plugin").symlink_to(plugin_dir())
    install.run("stop")
    install.run("start", PYTHONPATH=str(tmp_path))
    wait_until(lambda: install.status()["sidecar"]["version"] == "0.0.9", 30, "the release before")
    found = [one["text"] for one in install.json("doctor", code=3)["findings"] if one["state"] == "problem"]
    assert any("0.0.9" in text for text in found), found
    assert install.json("setup", "--yes", *install.ports)["changed"] == ["Service"]
    assert install.status()["sidecar"]["version"] == openclaw_nats.__version__


def test_an_upgrade_in_the_middle_of_a_turn_waits_for_it_and_breaks_nothing(install: Install, tmp_path: Path) -> None:
    """The turn goes on until `setup` has said that it waits for it, however slow the machine is."""
    index = install.gateway.state / "extensions" / "openclaw-nats" / "index.js"
    index.write_text(index.read_text() + "// an older release\n")
    before, asked = len(run_ends(install)), _asked(install)
    end, printed = tmp_path / "end", tmp_path / "printed"
    turn = threading.Thread(target=_turn, args=(install, f"!until {end}\n!say took its time"))
    turn.start()
    wait_until(lambda: _asked(install) > asked, 60, "the turn")
    command = [sys.executable, "-u", "-m", "openclaw_nats", "setup", "--yes", *install.ports]
    with (
        printed.open("w") as out,
        subprocess.Popen(command, env=install.gateway.env(), stdout=out, stderr=out) as setup,
    ):
        try:
            if install.gateway.old:  # it restarts itself, turn or no turn
                time.sleep(5)
            else:
                wait_until(
                    lambda: "a turn runs" in printed.read_text() or setup.poll() is not None, 120, "setup to wait"
                )
        finally:
            end.touch()
            turn.join()
        assert setup.wait(timeout=180) == 0, printed.read_text()
    assert "older release" not in index.read_text()
    assert "sends its events" in printed.read_text(), f"it said: {printed.read_text()}"
    if not install.gateway.old:
        assert "a turn runs" in printed.read_text()
        assert install.status()["plugin"]["problems"] == []
    _turn(install, "!say after the upgrade")
    wait_until(lambda: len(run_ends(install)) > before, 40, "the next turn's events")


@pytest.mark.parametrize("install", ["2026.9.6"], indirect=True)
def test_access_that_the_gateway_has_not_taken_over_is_told_and_mended(install: Install, tmp_path: Path) -> None:
    """2026.9 does not take over a configuration that changes while a turn runs, and does not try again."""
    entry = json.loads(install.gateway.config_path.read_text())["plugins"]["entries"]["openclaw-nats"]
    install.openclaw("config", "unset", "plugins.entries.openclaw-nats.hooks")
    _load_anew(install)
    assert install.status()["plugin"]["conversationAccess"] is False
    end, asked = tmp_path / "end", _asked(install)
    turn = threading.Thread(target=_turn, args=(install, f"!until {end}\n!say took its time"))
    turn.start()
    try:
        wait_until(lambda: _asked(install) > asked, 30, "the turn")
        install.openclaw("config", "set", "plugins.entries.openclaw-nats", json.dumps(entry), "--strict-json")
        time.sleep(3)  # the Gateway sees the file within a second or two
    finally:
        end.touch()
        turn.join()
    found = {one["check"]: one for one in install.json("doctor", code=3)["findings"] if one["state"] == "problem"}
    assert "has not applied it" in found["conversation access"]["text"], found
    assert "plugins reload" in found["conversation access"]["fix"]
    wait_until(lambda: _mended(install), 60, "the Gateway to let go of the turn's plugin")


def _asked(install: Install) -> int:
    """How often the model was asked."""
    return len(model_log.requests(install.gateway.model_log))


def _load_anew(install: Install) -> None:
    """A turn holds the plugin for some seconds after its end."""

    def loaded() -> bool:
        with contextlib.suppress(subprocess.CalledProcessError):
            install.openclaw("plugins", "reload", "openclaw-nats")
            return True
        return False

    wait_until(loaded, 60, "the Gateway to load the plugin anew")


def _mended(install: Install) -> bool:
    command = [sys.executable, "-m", "openclaw_nats", "doctor", "--fix", "--json"]
    return subprocess.run(command, env=install.gateway.env(), capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("by_hand", ["openclaw's command", "the folder"])
def test_uninstall_after_the_plugin_was_removed_by_hand(install: Install, by_hand: str) -> None:
    install.run("setup", "--yes", *install.ports)
    if by_hand == "the folder":
        shutil.rmtree(install.gateway.state / "extensions" / "openclaw-nats")
    else:
        install.openclaw("plugins", "uninstall", "openclaw-nats", "--force")
    install.run("uninstall", "--purge", "--yes")
    assert "openclaw-nats" not in install.gateway.config_path.read_text()
    assert not (install.gateway.state / "extensions" / "openclaw-nats").exists()
    assert not install.home.exists()


def _turn(install: Install, message: str) -> None:
    """Run a turn; a Gateway of 2026.3 may be about to restart itself for a change of its plugins."""
    deadline = time.monotonic() + (60 if install.gateway.old else 0)
    while True:
        try:
            return install.turn(message)
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
