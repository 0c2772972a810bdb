"""`python3 dev.py test` gets what tests need, or says in one line, before anything slow, what to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dev
import pytest

ROOT = Path(dev.__file__).parent


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH without any program; returns its folder."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_a_plain_user_is_told_in_one_line_what_to_install(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "apt-get").touch(mode=0o755)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(dev.Missing) as told:
        dev.ensure_programs(needed=True)
    text = str(told.value)
    assert "\n" not in text
    assert text.endswith("sudo apt-get install --no-install-recommends curl docker-compose dovecot-imapd prometheus")
    dev.ensure_programs(needed=False)  # some tests were named: they may not need them


def test_root_installs_what_is_missing_and_nothing_else(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apt = bare / "apt-get"
    apt.write_text(f'#!/bin/sh\necho "$@" >> {bare}/calls\n')
    apt.chmod(0o755)
    (bare / "curl").touch(mode=0o755)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    dev.ensure_programs(needed=True)
    update, install = (bare / "calls").read_text().splitlines()
    assert update.startswith("update")
    assert install.split()[-2:] == ["dovecot-imapd", "prometheus"]
    assert "curl" not in install


def test_a_python_without_pip_is_told_so_at_once(tmp_path: Path) -> None:
    program = "import importlib.util as u, runpy, sys; find = u.find_spec\n"
    program += "u.find_spec = lambda name, *a: None if name in ('pip', 'ensurepip') else find(name, *a)\n"
    program += f"sys.argv = ['dev.py', 'test']; sys.exit(runpy.run_path({str(ROOT / 'dev.py')!r})['main']())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "has no pip" in done.stderr


def test_the_environment_that_it_runs_in_is_made_again_by_the_python_that_made_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[str, list[str]]] = []

    def execv(path: str, arguments: list[str]) -> None:
        begun.append((path, arguments))
        raise SystemExit

    (tmp_path / "lock").write_text("another one")
    monkeypatch.setattr(dev, "VENV", Path(sys.prefix))
    monkeypatch.setattr(dev, "LOCK", tmp_path / "lock")
    monkeypatch.setattr("sys.argv", ["dev.py", "check"])
    monkeypatch.setattr("os.execv", execv)
    monkeypatch.setattr("shutil.rmtree", lambda *given, **named: pytest.fail("it removed what it runs in"))
    with pytest.raises(SystemExit):
        dev.ensure_venv()
    (path, arguments), *more = begun
    assert not more
    assert arguments == [path, "dev.py", "check"]
    assert Path(sys.prefix) not in Path(path).parents


def test_ci_runs_the_readmes_command_and_nothing_else() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    commands = [line for line in lines if line and not line.startswith("#")]
    assert commands == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', "exec python3 dev.py test"]
