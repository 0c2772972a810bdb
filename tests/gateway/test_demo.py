"""The demo, as a newcomer runs it: events of a real Gateway are printed, and nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.gateway.test_events import VERSION
from tests.gateway.world import prefix
from tests.support.processes import wait_until

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(400)]


def start(folder: Path, **more: Any) -> subprocess.Popen[str]:
    """The demo with its temporary files in a folder of this test's own."""
    prefix(VERSION)
    environment = dict(os.environ) | {"TMPDIR": str(folder)}
    command = [sys.executable, "-m", "openclaw_nats", "demo", "--once", "--json", "--openclaw-version", VERSION]
    # A shell's background job ignores Ctrl-C, and what it starts would too.
    listen = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, text=True, preexec_fn=listen, **more)


def left_behind(folder: Path) -> list[str]:
    """Processes that still work in the folder, and demo folders in it."""
    running = []
    for process in psutil.process_iter(["cmdline"]):
        words = " ".join(process.info["cmdline"] or [])
        if str(folder) in words and "pytest" not in words:
            running.append(words)
    return running + [str(path) for path in folder.glob("openclaw-nats-demo-*")]


def test_the_demo_shows_a_real_gateways_events_and_cleans_up() -> None:
    with tempfile.TemporaryDirectory() as name:
        process = start(Path(name), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
        events = [json.loads(line) for line in out.splitlines()]
        subjects = [event["subject"].removeprefix("agent.events.") for event in events]
        for subject in (
            "gateway.startup",
            "tool.exec.completed",
            "tool.exec.failed",
            "tool.read.completed",
            "session.new",
        ):
            assert subject in subjects, subjects
        assert any(event["data"].get("success") is False for event in events if event["subject"].endswith("run_ended"))
        assert len({event["id"] for event in events}) == len(events)
        assert "a command that fails" in err
        assert "20 events matched, 1 turn, 19 turns avoided; the run ended ok" in err
        assert "the model was asked 1 time about them" in err
        assert any(event.get("hops") == 1 and event["subject"].endswith("run_ended") for event in events)
        assert left_behind(Path(name)) == []


@pytest.mark.parametrize(
    ("number", "moment"), [(signal.SIGINT, "while it starts"), (signal.SIGTERM, "while the agent works")]
)
def test_an_interrupted_demo_leaves_nothing_behind(number: int, moment: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = folder / "err"
        with log.open("w") as err:
            process = start(folder, stdout=subprocess.DEVNULL, stderr=err)
        try:
            if moment == "while it starts":
                wait_until(lambda: list(folder.glob("openclaw-nats-demo-*/openclaw/nats")), 120, "the start")
                time.sleep(2)
            else:
                wait_until(lambda: "a command that works" in log.read_text(), 220, "the first turns")
        finally:  # a demo that is too slow must not go on below the folder that is removed
            process.send_signal(number)
            code = process.wait(60)
        assert code != 0
        wait_until(lambda: left_behind(folder) == [], 15, f"nothing left behind ({left_behind(folder)})")
