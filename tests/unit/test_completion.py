"""Completion in each shell, as the shell asks for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("openclaw-nats")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_for_that_shell(shell: str) -> None:
    done = subprocess.run([str(COMMAND), "completion", shell], capture_output=True, text=True, check=True)
    assert "_OPENCLAW_NATS_COMPLETE" in done.stdout
    assert f"{shell}_complete" in done.stdout


def ask(*words: str) -> list[str]:
    """What bash's script asks for, and gets."""
    line = " ".join(["openclaw-nats", *words])
    environment = os.environ | {
        "_OPENCLAW_NATS_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run([str(COMMAND)], env=environment, capture_output=True, text=True, check=False)
    return [one.split(",", 1)[1] for one in done.stdout.splitlines() if "," in one]


def test_commands_subcommands_and_options_are_completed() -> None:
    assert set(ask("ro")) == {"routes"}
    assert set(ask("re")) == {"receipts", "receive", "restart", "restore", "resume"}
    assert "add" in ask("routes", "a")
    assert "--debounce" in ask("routes", "add", "--deb")


def test_bash_itself_completes_with_the_script(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    assert bash
    script = subprocess.run([str(COMMAND), "completion", "bash"], capture_output=True, text=True, check=True).stdout
    (tmp_path / "complete.sh").write_text(script)
    asked = (
        f"export PATH={COMMAND.parent}:$PATH; source {tmp_path}/complete.sh; "
        "COMP_WORDS=(openclaw-nats time); COMP_CWORD=1; _openclaw_nats_completion openclaw-nats time openclaw-nats; "
        'echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run([bash, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "timers"
