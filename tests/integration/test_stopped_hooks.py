"""Hooks that stopped with a new OpenClaw, on a running sidecar: told once, whatever is killed, until they are back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from tests.support.processes import Sidecar, wait_until

SENTENCE = "llm.output events have stopped: since OpenClaw 2026.9.7 none in 12 turns; before, there were 39 in 40 turns"


def report(sidecar: Sidecar, version: str, fired: int, due: int) -> None:
    """As the plugin of a Gateway's process sends it: a process for each version."""
    told = {
        "pluginVersion": "0.2.0",
        "gatewayVersion": version,
        "startedAt": f"2026-11-28T00:00:00.{version[-1]}00Z",
        "conversationAccess": True,
        "hooks": {"llm.output": {"fired": fired, "due": due}, "of.a.later.plugin": {"fired": 1, "due": 2, "more": 3}},
    }
    headers = {"Content-Type": "application/json"}
    assert sidecar.request("POST", "/api/plugin/report", json.dumps(told).encode(), headers)[0] == 204


def problems(sidecar: Sidecar) -> list[str]:
    return [str(one) for one in sidecar.get("/api/health")[1]["plugin"]["problems"]]


def notices(sidecar: Sidecar) -> list[tuple[str, dict[str, Any]]]:
    found = sidecar.events("?subject=agent.events.bus.%3E")
    return [(one["subject"].rpartition(".")[2], one["data"]) for one in found if "hooks" in one["subject"]]


def kept(sidecar: Sidecar, *, missing: int, fired: int) -> bool:
    """What the history on disk says of llm.output."""
    import sqlite3

    with sqlite3.connect(sidecar.home / "sidecar.db") as db:
        row = db.execute("SELECT value FROM facts WHERE name = 'hook-history'").fetchone()
    kind = json.loads(row[0])["history"]["kinds"].get("llm.output") if row else None
    return bool(kind) and (kind["missing"], kind["newer"]["fired"]) == (missing, fired)


def run(sidecar: Sidecar, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**sidecar.environment, "PATH": os.environ["PATH"]}
    line = [sys.executable, "-m", "openclaw_nats", *words]
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_hooks_that_stopped_with_a_new_openclaw_are_told_once_until_they_are_back(sidecar: Sidecar) -> None:
    report(sidecar, "2026.9.6", 20, 20)
    wait_until(lambda: kept(sidecar, missing=0, fired=20), 20, "the history")
    sidecar.kill()
    sidecar.start()
    report(sidecar, "2026.9.6", 20, 20)
    report(sidecar, "2026.9.6", 39, 40)
    wait_until(lambda: kept(sidecar, missing=0, fired=39), 20, "the history")
    report(sidecar, "2026.9.7", 0, 5)
    wait_until(lambda: kept(sidecar, missing=5, fired=39), 20, "the first turns that miss it")
    assert problems(sidecar) == []
    sidecar.kill()
    sidecar.start()
    report(sidecar, "2026.9.7", 0, 12)
    wait_until(lambda: problems(sidecar) == [SENTENCE], 20, "the problem")
    stopped = {"hook": "llm.output", "missing": 12, "firedBefore": 39, "dueBefore": 40, "sinceVersion": "2026.9.7"}
    wait_until(lambda: notices(sidecar) == [("hooks_stopped", stopped)], 20, "the event")

    sidecar.kill()
    sidecar.start()
    assert problems(sidecar) == [SENTENCE], "also before the plugin reports again"
    report(sidecar, "2026.9.7", 0, 12)
    found = json.loads(run(sidecar, "doctor", "--json").stdout)["findings"]
    assert [(one["state"], one["text"]) for one in found if one["check"] == "hooks"] == [("problem", SENTENCE)]
    assert sidecar.get("/api/health")[1]["plugin"]["stoppedHooks"] == ["llm.output"]
    status = run(sidecar, "status")
    assert SENTENCE in " ".join(status.stdout.split())

    report(sidecar, "2026.9.7", 1, 13)
    wait_until(lambda: len(notices(sidecar)) == 2, 20, "that they are back")
    assert notices(sidecar)[1] == ("hooks_back", stopped)
    assert problems(sidecar) == []


def test_a_plugin_that_counts_no_hooks_is_no_problem(sidecar: Sidecar) -> None:
    headers = {"Content-Type": "application/json"}
    body = json.dumps({"pluginVersion": "0.1.0", "gatewayVersion": "2026.9.6"}).encode()
    assert sidecar.request("POST", "/api/plugin/report", body, headers)[0] == 204
    assert problems(sidecar) == []
