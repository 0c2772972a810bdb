"""A state that an earlier version left is taken up as it is; one of a later version is refused, and stays as it is."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tarfile
from pathlib import Path

import pytest

from openclaw_nats.storage.database import migrations
from tests.support.browser import Visitor, sign_in_code
from tests.support.make_state import CONFIG
from tests.support.processes import NatsServer, Sidecar, event, wait_until
from tests.support.storage import take_back_to

STATE_0_1_0 = Path(__file__).parent.parent / "support" / "state-0.1.0.tar.gz"


@pytest.mark.parametrize("version", range(1, len(migrations())))
def test_nothing_of_an_earlier_versions_state_is_lost(tmp_path: Path, nats: NatsServer, version: int) -> None:
    one = Sidecar(tmp_path / "state", nats)
    one.start()
    try:
        copy = {"kind": "subject", "subject": "agent.events.custom.copied"}
        one.call("POST", "/api/routes", {"name": "copies", "pattern": "agent.events.custom.copy", "target": copy})
        held = {"name": "held", "pattern": "agent.events.custom.held", "target": "main", "flow": {"debounce": "10h"}}
        one.call("POST", "/api/routes", held)
        one.post_events(
            [event(f"{name}-{n}", f"agent.events.custom.{name}") for n in range(3) for name in ("copy", "held")]
        )
        wait_until(lambda: one.get("/api/receipts")[1]["receipts"], what="a receipt")
        wait_until(lambda: one.get("/api/pending")[1]["total"] == 3, what="what waits")
        before = one.get("/api/routes")[1], one.get("/api/receipts")[1], one.get("/api/pending")[1]["total"]
        one.signal(15)
        take_back_to(one.home / "sidecar.db", version)
        one.start()
        after = one.get("/api/routes")[1], one.get("/api/receipts")[1], one.get("/api/pending")[1]["total"]
        assert after == before
        assert Visitor(f"{one.url}/dashboard").sign_in(sign_in_code(one))["current"] is True
        assert len([event for event in one.events() if event["subject"].endswith("copied")]) == 3
    finally:
        one.close()


def test_a_later_versions_state_is_refused_in_words_and_not_touched(tmp_path: Path, nats: NatsServer) -> None:
    one = Sidecar(tmp_path / "state", nats)
    one.start()
    one.signal(15)
    path = one.home / "sidecar.db"
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA user_version = 99")
        db.execute("PRAGMA journal_mode = DELETE")
    one.start(wait=False)
    assert one.process is not None
    assert one.process.wait(20) == 1
    told = (one.home / "sidecar.out").read_text()
    assert "was written by a newer openclaw-nats (version 99 of its tables" in told
    assert "Try: Install that version again" in told
    assert "Traceback" not in told
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == 99
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_the_state_of_0_1_0_is_taken_up_whole(tmp_path: Path) -> None:
    """Database and store as 0.1.0's own code left them when it was killed (tests/support/make_state.py)."""
    with tarfile.open(STATE_0_1_0) as tar:
        tar.extractall(tmp_path, filter="data")
    nats = NatsServer(tmp_path / "nats", store=tmp_path / "js")
    nats.start()
    one = Sidecar(tmp_path / "home", nats, CONFIG)
    for file in (tmp_path / "state").iterdir():
        shutil.copy2(file, one.home / file.name)
    one.start()
    try:
        assert {route["name"]: route["enabled"] for route in one.get("/api/routes")[1]["routes"]} == {
            "copies": True,
            "dies": True,
            "waits": False,
        }
        assert len(one.get("/api/receipts")[1]["receipts"]) == 3
        assert one.get("/api/dead")[1]["total"] == 3
        assert one.get("/api/pending")[1]["total"] == 3
        (job,) = one.get("/api/cron")[1]["jobs"]
        assert (job["name"], job["cron"], job["timezone"]) == ("tea", "0 8 1 1 *", "Europe/Berlin")
        (timer,) = one.get("/api/timers")[1]["timers"]
        assert (timer["name"], timer["at"], timer["payload"]) == ("late", "2099-01-01T00:00:00.000Z", {"n": 1})
        ids = [event["id"] for event in one.events() if event["subject"] == "agent.events.custom.held"]
        assert ids == ["held-0", "held-1", "held-2"]
        # and it goes on: what waited is delivered once, what is new, too, and nothing of the old once more
        one.call("PATCH", "/api/routes/waits", {"enabled": True, "flow": None})
        one.post_events([event("copy-new", "agent.events.custom.copy")])
        wait_until(lambda: len(one.get("/api/receipts")[1]["receipts"]) >= 5, what="the receipts")
        wait_until(lambda: one.get("/api/pending")[1]["total"] == 0, what="an empty inbox")
        copied = [event for event in one.events() if event["subject"] == "agent.events.custom.copied"]
        assert len(copied) == 3 + 3 + 1
    finally:
        one.close()
        nats.close()
