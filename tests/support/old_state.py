"""The state that 0.1.0 leaves behind, as tests/integration/test_upgrade.py finds it: made by the code of 0.1.0 itself.

    git archive 1898fc3 src | tar x -C /tmp/old
    python -m tests.support.old_state /tmp/old/src

writes tests/support/state-0.1.0.tar.gz anew. It holds JetStream's files, the sidecar's database, and `before.json`:
what the API of 0.1.0 said last. Nothing in it gets too old: events and dead letters are kept for ten years.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from tests.support.inbound import ROOMY, Bus
from tests.support.processes import event, wait_until

ARCHIVE = Path(__file__).with_name("state-0.1.0.tar.gz")
SETTINGS = (
    f'{ROOMY}[stream]\nmax_age = "3650d"\n[inbox]\nkeep = "3650d"\n[delivery]\nway = "hooks"\n[agents]\ntools = false\n'
)
GATEWAY = {"OPENCLAW_NATS_GATEWAY_ID": "upgraded"}  # the consumer is named after it
KEPT = ("nats-server/js", "state/nats/sidecar.db", "state/nats/sidecar.db-wal")
DELIVERED, DEAD, WAITING, OFF = 3, 2, 5, 4


def numbers(start: int, count: int) -> range:
    """The events of one route."""
    return range(start, start + count)


def said(bus: Bus) -> dict[str, Any]:
    """What both versions have to say of this state."""
    return {
        "events": [one["id"] for one in bus.sidecar.events("?limit=1000")],
        "receipts": sorted(one["id"] for one in bus.receipts()),
        "dead": sorted((one["id"], one["event"]) for one in bus.dead()),
        "pending": sorted((one["id"], one["event"]) for one in bus.pending()),
        "routes": sorted(
            (one["name"], one["pattern"], one["enabled"]) for one in bus.call("GET", "/api/routes")[1]["routes"]
        ),
        "jobs": sorted(
            (one["name"], one["cron"], one["subject"], one["enabled"])
            for one in bus.call("GET", "/api/cron")[1]["jobs"]
        ),
        "timers": sorted((one["name"], one["at"]) for one in bus.call("GET", "/api/timers")[1]["timers"]),
    }


def fill(bus: Bus) -> None:
    """Every kind of thing that a sidecar keeps."""

    def post(route: str, which: range) -> None:
        events = [event(number, f"agent.events.custom.{route}.x") for number in which]
        status, answer = bus.sidecar.post_events(events)
        assert status == 200, answer

    for name in ("done", "broken", "waiting", "off"):
        bus.route(name, f"agent.events.custom.{name}.>", {"kind": "session", "sessionKey": f"agent:main:{name}"})
    post("done", numbers(100, DELIVERED))
    bus.settled(DELIVERED)
    bus.stub.mode("400")
    post("broken", numbers(200, DEAD))
    wait_until(lambda: len(bus.dead()) == DEAD, what="dead letters")
    bus.stub.close()
    post("waiting", numbers(300, WAITING))
    post("off", numbers(400, OFF))
    wait_until(lambda: len(bus.pending()) == WAITING + OFF, what="deliveries that wait")
    status, answer = bus.call("PATCH", "/api/routes/off", {"enabled": False})
    assert status == 200, answer
    jobs = [
        {"name": "leap/day", "cron": "0 0 29 2 *", "subject": "agent.events.custom.leap", "payload": {"n": 1}},
        {"name": "paused", "cron": "*/5 * * * *", "subject": "agent.events.custom.paused"},
    ]
    for job in jobs:
        status, answer = bus.call("POST", "/api/cron", job)
        assert status == 201, answer
    assert bus.call("POST", "/api/cron/paused/pause")[0] == 200
    timer = {"name": "far", "at": "2099-01-01T00:00:00Z", "subject": "agent.events.custom.far", "payload": {"n": 2}}
    status, answer = bus.call("POST", "/api/timers", timer)
    assert status == 201, answer


def make(source: str) -> None:
    """Let 0.1.0 make its state, and keep it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bus = Bus(folder, SETTINGS)
        bus.sidecar.environment |= GATEWAY | {"PYTHONPATH": source}
        try:
            bus.start()
            fill(bus)
            (folder / "before.json").write_text(json.dumps(said(bus), indent=1))
            bus.sidecar.signal(15)
            assert bus.nats.process is not None
            bus.nats.process.terminate()
            bus.nats.process.wait(20)
        finally:
            bus.close()
        with tarfile.open(ARCHIVE, "w:gz") as archive:
            for one in (*KEPT, "before.json"):
                if (folder / one).exists():  # a database that was closed has no log beside it
                    archive.add(folder / one, one)
        with contextlib.closing(sqlite3.connect(folder / KEPT[1])) as database:
            columns = [row[1] for row in database.execute("PRAGMA table_info(deliveries)")]
        assert columns, "0.1.0 left no deliveries"
        assert "origin" not in columns, f"{source} is not 0.1.0"


if __name__ == "__main__":
    make(sys.argv[1])
