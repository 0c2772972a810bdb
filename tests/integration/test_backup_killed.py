"""A restore that is killed at any instant, or that fails, leaves the old state or the new one, complete."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from openclaw_nats.backup import swap
from openclaw_nats.backup.swap import Journal, Staging, recover
from openclaw_nats.errors import SetupError
from tests.integration.test_backup import repack
from tests.support.installation import Installation
from tests.support.processes import event


def ids(house: Installation) -> list[str]:
    return [one["id"] for one in house.sidecar.events()]


def test_a_restore_that_is_killed_at_any_moment_leaves_one_of_the_two_states(
    house: Installation, tmp_path: Path
) -> None:
    house.sidecar.post_events([event("old")])
    file = tmp_path / "b"
    house.run("backup", str(file))
    house.sidecar.post_events([event("new")])
    house.stop()
    kept = tmp_path / "kept"
    shutil.copytree(house.home, kept)
    command = [sys.executable, "-m", "openclaw_nats", "restore", str(file), "--yes"]
    ends = set()
    for delay in (0.6, 1.2, 1.8, 2.4, 3.0, 3.6):
        process = subprocess.Popen(
            command, env=house.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        house.start()
        found = tuple(ids(house))
        assert found in (("id-old", "id-new"), ("id-old",))
        ends.add(found)
        house.stop()
        assert not (house.home / ".restore").exists()
        shutil.rmtree(house.home)
        shutil.copytree(kept, house.home)
    assert ("id-old", "id-new") in ends


def names(folder: Path) -> dict[str, str]:
    return {one.name: one.read_text() for one in folder.iterdir() if one.is_file()}


OLD = {"config.toml": "old", "sidecar.db": "old", "only-old": "old"}
NEW = {"config.toml": "new", "sidecar.db": "new", "only-new": "new"}


class Killed(BaseException):
    """Stands for kill -9: nothing is tidied up."""


def prepared(home: Path) -> Staging:
    home.mkdir()
    for name, text in OLD.items():
        (home / name).write_text(text)
    (home / "spool").mkdir()
    (home / "spool" / "waits").write_text("waits")
    (home / "plugin.json").write_text("kept")
    staging = Staging(home)
    staging.new.mkdir(parents=True)
    for name, text in NEW.items():
        (staging.new / name).write_text(text)
    return staging


def test_each_step_of_the_swap_can_be_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before each of its renames and syncs in turn: the next start has the old state, or finishes the new."""
    real_rename, real_sync = Path.rename, swap.sync_folder
    left = 0

    def step() -> None:
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1

    def rename(self: Path, target: Path) -> Path:
        step()
        return real_rename(self, target)

    def sync(folder: Path) -> None:
        step()
        real_sync(folder)

    outcomes = []
    for count in range(40):
        home = tmp_path / f"home{count}"
        staging = prepared(home)
        left = count
        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", rename)
            patch.setattr(swap, "sync_folder", sync)
            try:
                staging.swap()
                killed = False
            except Killed:
                killed = True
        changed = recover(home)
        found = names(home)
        assert found.pop("plugin.json") == "kept"
        assert (home / "spool" / "waits").read_text() == "waits"
        assert not (home / ".restore").exists()
        assert found in (OLD, NEW)
        aside = list(tmp_path.glob(f"home{count}.before-restore-*"))
        if found == NEW:
            assert names(aside[0]) == OLD
            assert stat.S_IMODE(aside[0].stat().st_mode) == 0o700
        else:
            assert not aside
        outcomes.append((killed, changed, found == NEW))
        if not killed:
            break
    assert {True, False} == {new for _, _, new in outcomes}
    assert outcomes[-1] == (False, False, True)
    assert sum(changed for _, changed, _ in outcomes) > 5


def test_a_rename_that_fails_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.rename
    for failing in ("only-old", "config.toml", "only-new"):
        home = tmp_path / failing
        staging = prepared(home)
        failed = []

        def rename(self: Path, target: Path, failing: str = failing, failed: list[str] = failed) -> Path:  # type: ignore[type-arg]
            if self.name == failing and not failed:
                failed.append(failing)
                raise OSError(16, "Device or resource busy", str(self))
            return real(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", rename)
            with pytest.raises(SetupError, match="busy"):
                staging.swap()
        found = names(home)
        assert found.pop("plugin.json") == "kept"
        assert found == OLD
        assert names(staging.new) == NEW
        assert not list(tmp_path.glob(f"{failing}.before-restore-*"))
        assert not recover(home)


def test_the_way_back(tmp_path: Path) -> None:
    home = tmp_path / "home"
    staging = prepared(home)
    done = staging.swap()
    assert isinstance(done, Journal)
    staging.swap(undo=done)
    found = names(home)
    assert found.pop("plugin.json") == "kept"
    assert found == OLD
    assert not Path(done.out_to).exists()


def test_two_restores_at_once_and_a_start_meanwhile(tmp_path: Path) -> None:
    staging = Staging(tmp_path / "home")
    with staging.open():
        (staging.new / "config.toml").write_text("x")
        with pytest.raises(SetupError, match="another restore"), Staging(tmp_path / "home").open():
            pass
        assert not recover(tmp_path / "home")  # a start does not disturb it
        assert (staging.new / "config.toml").exists()
    assert not (tmp_path / "home").exists()


def test_a_new_state_that_does_not_start_is_taken_back_and_the_old_one_runs_again(
    house: Installation, tmp_path: Path
) -> None:
    """The backup's port is another program's by now."""
    house.sidecar.post_events([event("old")])
    house.run("backup", str(tmp_path / "b"))
    house.stop()
    text = (house.home / "config.toml").read_text()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()

        def use(folder: Path) -> None:
            taken = text.replace(f"port = {house.ports['sidecar']}", f"port = {other.getsockname()[1]}")
            (folder / "config.toml").write_text(taken)

        bad = repack(tmp_path / "b", tmp_path, use, right=True, part="config.toml")
        house.run("start")
        try:
            house.run("restore", str(bad), "--yes", code=1)
            assert (house.home / "config.toml").read_text() == text
            assert ids(house) == ["id-old"]
            assert not list(house.state.glob("nats.before-restore-*"))
        finally:
            house.run("stop")
