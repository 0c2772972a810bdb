"""The certificate on a real sidecar and a real nats-server: what is done to the stream behind its back is named."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support import jetstream
from tests.support.inbound import Bus, running_bus
from tests.support.installation import Installation
from tests.support.processes import event

STREAM = "agent_events"


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    with running_bus(tmp_path) as one:
        yield one


def verify(bus: Bus, *words: str, code: int = 0) -> dict[str, Any]:
    """`openclaw-nats verify --json`."""
    done = command(bus, "verify", *words, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    return dict(json.loads(done.stdout))


def command(bus: Bus, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**bus.sidecar.environment, "PATH": os.environ["PATH"]}
    line = [sys.executable, "-m", "openclaw_nats", *words]
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120, check=False)


def remove(bus: Bus, sequence: int) -> None:
    assert jetstream.api(bus.nats, f"STREAM.MSG.DELETE.{STREAM}", {"seq": sequence, "no_erase": True})["success"]


def first_differences(found: dict[str, Any]) -> list[tuple[str, int, int]]:
    return [(one["what"], one["first"], one["last"]) for one in found["differences"]]


def test_a_message_that_is_removed_by_hand_is_named(bus: Bus, tmp_path: Path) -> None:
    for number in range(20):
        bus.publish("verified", {"number": number})
    file = tmp_path / "certificate.json"
    found = verify(bus, "--export", str(file))
    assert (found["sound"], found["checked"], found["last"] - found["first"]) == (True, 20, 19)
    assert json.loads(file.read_text()) == found
    assert file.stat().st_mode & 0o777 == 0o600
    gone = found["first"] + 6
    remove(bus, gone)
    found = verify(bus, code=1)
    assert first_differences(found) == [("removed", gone, gone)]
    said = command(bus, "verify")
    assert said.returncode == 1
    assert f"the first is {gone}" in " ".join(said.stdout.split())
    assert verify(bus, "--since", "1s")["checked"] in (0, 20)  # by links: all of them, or none


def test_a_purged_range_is_named_and_so_is_a_stream_that_was_made_again(bus: Bus) -> None:
    for number in range(10):
        bus.publish("verified", {"number": number})
    first = verify(bus)["first"]
    jetstream.api(bus.nats, f"STREAM.PURGE.{STREAM}", {"seq": first + 4})
    assert first_differences(verify(bus, code=1)) == [("removed", first, first + 3)]
    config = jetstream.api(bus.nats, f"STREAM.INFO.{STREAM}")["config"]
    assert jetstream.api(bus.nats, f"STREAM.DELETE.{STREAM}")["success"]
    assert "error" not in jetstream.api(bus.nats, f"STREAM.CREATE.{STREAM}", config)
    found = verify(bus, code=1)
    assert first_differences(found) == [("replaced", first, first + 9)]


def test_an_edited_database_is_named_after_a_restart_too(bus: Bus) -> None:
    for number in range(10):
        bus.publish("verified", {"number": number})
    assert verify(bus)["sound"]
    bus.sidecar.kill()
    with closing(sqlite3.connect(bus.sidecar.home / "sidecar.db")) as db, db:
        db.execute("UPDATE certificate_links SET entries = zeroblob(length(entries)) WHERE kind = 'events'")
    bus.sidecar.start()
    found = verify(bus, code=1)
    assert "was changed" in found["problem"]


def test_kills_while_it_records_and_verifies_leave_the_chain_right(bus: Bus) -> None:
    total = 0
    for _ in range(4):
        for number in range(50):
            bus.publish("verified", {"number": number})
        total += 50
        bus.call("POST", "/api/certificate")
        bus.sidecar.kill()
        bus.sidecar.start()
    found = verify(bus)
    assert (found["sound"], found["problem"], found["checked"]) == (True, "", total)


def test_a_restored_backup_is_sound(house: Installation, tmp_path: Path) -> None:
    house.sidecar.post_events([event(f"kept-{n}") for n in range(30)])
    before = house.run("verify")
    assert before["sound"]
    file = tmp_path / "all.backup"
    house.run("backup", str(file))
    house.sidecar.post_events([event(f"later-{n}") for n in range(5)])
    assert house.run("verify")["checked"] == before["checked"] + 5
    house.stop()
    house.run("restore", str(file), "--yes")
    house.start()
    again = house.run("verify")
    assert (again["sound"], again["problem"], again["checked"]) == (True, "", before["checked"])
    house.sidecar.post_events([event(f"new-{n}") for n in range(7)])
    assert house.run("verify")["checked"] == before["checked"] + 7
