"""Makes a database and a JetStream store by an older version's own code.

`python -m tests.support.make_state REF FILE`. What it wrote for 0.1.0 (commit 1898fc3) is state-0.1.0.tar.gz beside it,
which test_upgrade.py takes up. Nothing in it ages: its settings keep all for ten years, its timer is due in 2099.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.support.processes import NatsServer, Sidecar, event, wait_until

ROOT = Path(__file__).resolve().parents[2]
CONFIG = '[stream]\nmax_age = "3650d"\n[inbox]\nkeep = "3650d"\n'
COPY = {"kind": "subject", "subject": "agent.events.custom.copied"}


def make(reference: str, target: Path) -> None:
    """Start the sidecar of a commit on an empty state, use it, kill it, and pack what it left."""
    with tempfile.TemporaryDirectory(prefix="state-") as name:
        folder = Path(name)
        archive = subprocess.run(["git", "archive", reference, "src"], cwd=ROOT, capture_output=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder / "code", filter="data")
        nats = NatsServer(folder / "nats")
        nats.start()
        sidecar = Sidecar(folder / "state", nats, CONFIG)
        sidecar.environment["PYTHONPATH"] = str(folder / "code" / "src")
        sidecar.start()
        _use(sidecar)
        sidecar.kill()
        nats.signal(15)
        with tarfile.open(target, "w:gz") as tar:
            for part in ("sidecar.db", "sidecar.db-wal", "sidecar.db-shm"):
                if (sidecar.home / part).exists():
                    tar.add(sidecar.home / part, f"state/{part}")
            tar.add(folder / "nats" / "js", "js")


def _use(sidecar: Sidecar) -> None:
    """A route that delivers, one whose events die, one that is disabled while events wait; a job and a timer."""
    for route in (
        {"name": "copies", "pattern": "agent.events.custom.copy", "target": COPY},
        {"name": "dies", "pattern": "agent.events.custom.bad", "target": COPY, "template": "{{ 1/0 }}"},
        {
            "name": "waits",
            "pattern": "agent.events.custom.held",
            "target": COPY,
            "flow": {"debounce": "10h", "batch": {"size": 50, "wait": "10h"}},
            "when": "data.n >= 0",
        },
    ):
        assert sidecar.call("POST", "/api/routes", route)[0] == 201
    sidecar.post_events(
        [event(f"{kind}-{n}", f"agent.events.custom.{kind}") for n in range(3) for kind in ("copy", "bad", "held")]
    )
    sidecar.call("POST", "/api/cron", {"name": "tea", "cron": "0 8 1 1 *", "timezone": "Europe/Berlin"})
    sidecar.call("POST", "/api/timers", {"name": "late", "at": "2099-01-01T00:00:00Z", "payload": {"n": 1}})
    wait_until(lambda: len(sidecar.get("/api/receipts")[1]["receipts"]) == 3, what="the receipts")
    wait_until(lambda: sidecar.get("/api/dead")[1]["total"] == 3, what="the dead letters")
    wait_until(lambda: sidecar.get("/api/pending")[1]["total"] == 3, what="what waits")
    assert sidecar.call("PATCH", "/api/routes/waits", {"enabled": False})[0] == 200


if __name__ == "__main__":
    make(sys.argv[1], Path(sys.argv[2]))
