"""A restore into a NATS that is not ours, killed at each step: nothing of it stays there, and it can be repeated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support import jetstream
from tests.support.processes import NatsServer, Sidecar, event

STREAMS = ("agent_schedules", "agent_dlq", "agent_events")
# Ends the process by SIGKILL when the call number `at` of that function returns, or begins.
KILLED = """
import os, signal, sys
from openclaw_nats.cli.main import main
from openclaw_nats.jetstream import snapshot

when, name, at = sys.argv[1], sys.argv[2], int(sys.argv[3])
real, calls = getattr(snapshot, name), 0

async def killing(*given):
    global calls
    calls += 1
    if (when, calls) == ("before", at):
        os.kill(os.getpid(), signal.SIGKILL)
    found = await real(*given)
    if (when, calls) == ("after", at):
        os.kill(os.getpid(), signal.SIGKILL)
    return found

setattr(snapshot, name, killing)
sys.argv[1:] = sys.argv[4:]
main()
"""


POINTS = (
    ("after", "_watched", 1),  # a chunk was sent
    ("after", "_watched", 2),  # the stream is there, and nobody here knows more of it
    ("after", "restore", 1),
    ("after", "unmark", 1),
    ("after", "restore", 3),
    ("after", "add_sources", 3),
)


def test_a_restore_that_is_killed_leaves_no_stream_there(tmp_path: Path, nats: NatsServer) -> None:
    one = Sidecar(tmp_path / "state", nats)
    config = one.home / "config.toml"
    config.write_text(config.read_text().replace("[nats]\n", "[nats]\nmanaged = false\n"))
    one.start()
    one.post_events([event("old")])

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words], env=one.environment, capture_output=True, text=True, timeout=120, check=False
        )

    file = tmp_path / "backup"
    assert run("-m", "openclaw_nats", "backup", str(file)).returncode == 0
    one.kill()
    for point in POINTS:
        for stream in STREAMS:
            jetstream.api(nats, f"STREAM.DELETE.{stream}")
        killed = run("-c", KILLED, *map(str, point), "restore", str(file), "--yes")
        assert killed.returncode == -9, (point, killed.stderr)
        again = run("-m", "openclaw_nats", "restore", str(file), "--yes")
        assert again.returncode == 0, (point, again.stderr)
    for stream in STREAMS:
        kept = jetstream.api(nats, f"STREAM.INFO.{stream}")["config"].get("metadata", {})
        assert all(name.startswith("_nats.") for name in kept), kept
    one.start()
    assert [found["id"] for found in one.events()] == ["id-old"]
    one.close()
