"""A state that an earlier version left is taken up as it is; one of a later version is refused, and stays as it is."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from openclaw_nats.storage.database import migrations
from tests.support.browser import Visitor, sign_in_code
from tests.support.processes import NatsServer, Sidecar, event, wait_until
from tests.support.storage import take_back_to


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
