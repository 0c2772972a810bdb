"""What the inbox keeps of an event that has ended, and what happens at its limit, in a real sidecar."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import jetstream
from tests.support.inbound import ROOMY, Bus, running_bus
from tests.support.processes import wait_until

MIB = 1 << 20
LATER = {"debounce": "1h"}


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    with running_bus(tmp_path, ROOMY + '[inbox]\nmax_bytes = "16MiB"\n') as one:
        yield one


def contents(bus: Bus) -> int:
    with contextlib.closing(sqlite3.connect(bus.sidecar.home / "sidecar.db")) as db:
        return int(db.execute("SELECT count(*) FROM events").fetchone()[0])


def test_a_delivered_event_is_shown_from_the_stream_and_its_text_stays_when_that_is_empty(bus: Bus) -> None:
    bus.route("a", "agent.events.custom.a.>", "main")
    bus.route("b", "agent.events.custom.b.>", "main", flow=LATER)
    bus.publish("a.x", {"door": "front"})
    bus.publish("b.x", {"door": "back"})
    wait_until(lambda: bus.states()["delivered"] == 1 and bus.states()["pending"] == 1, 30, "one receipt, one waiting")
    wait_until(lambda: contents(bus) == 1, 10, "only what waits to be kept")
    [first] = bus.call("GET", "/api/deliveries?state=delivered")[1]["deliveries"]
    detail = bus.call("GET", f"/api/deliveries/{first['id']}")[1]
    assert detail["document"]["data"] == {"door": "front"}
    assert "front" in detail["text"]
    assert [one["id"] for one in bus.call("GET", "/api/deliveries?search=FRONT")[1]["deliveries"]] == [first["id"]]
    jetstream.api(bus.nats, "STREAM.PURGE.agent_events", {})
    bus.publish("a.y", {"door": "side"})
    detail = bus.call("GET", f"/api/deliveries/{first['id']}")[1]
    assert detail["document"] is None
    assert "front" in detail["text"]
    [waiting] = [one for one in bus.pending() if one["route"] == "b"]
    assert bus.call("GET", f"/api/pending/{waiting['id']}")[1]["document"]["data"] == {"door": "back"}


def test_a_body_that_is_the_event_itself_is_not_kept_twice(bus: Bus) -> None:
    bus.route("a", "agent.events.custom.a.>", {"kind": "subject", "subject": "elsewhere"})
    bus.publish("a.x", {"door": "front"})
    wait_until(lambda: bus.states()["delivered"] == 1, 30, "the receipt")
    with contextlib.closing(sqlite3.connect(bus.sidecar.home / "sidecar.db")) as db:
        assert db.execute("SELECT body FROM dispatches").fetchone()[0] == ""
    [receipt] = bus.receipts()
    assert "front" in bus.call("GET", f"/api/receipts/{receipt['id']}")[1]["text"]
    [first] = bus.call("GET", "/api/deliveries?state=delivered")[1]["deliveries"]
    assert "front" in bus.call("GET", f"/api/deliveries/{first['id']}")[1]["text"]


def test_what_waits_beyond_the_limit_stays_in_the_stream_and_nothing_of_it_is_lost(bus: Bus) -> None:
    bus.route("later", "agent.events.custom.big.>", "main", flow=LATER)
    bus.route("now", "agent.events.custom.small.>", {"kind": "subject", "subject": "elsewhere"})
    for number in range(40):
        bus.publish("big.x", {"n": number, "text": "x" * 500_000})
    full = wait_until(lambda: bus.health()["inbox"]["lastError"], 30, "the inbox to be full")
    assert "inbox.max_bytes is 16MiB: new events stay in the stream" in full
    assert bus.health()["lastError"] == full
    assert not bus.health()["reachable"]
    bus.publish("small.x", {"n": 1})  # the request for messages that was open already may still bring it
    time.sleep(2)
    taken = sum(bus.states().values())
    for number in range(3):
        bus.publish("small.x", {"n": number})
    time.sleep(2)
    assert sum(bus.states().values()) == taken
    assert bus.sidecar.metric("openclaw_nats_inbox_bytes") > 11 * MIB
    assert bus.sidecar.metric("openclaw_nats_inbox_max_bytes") == 16 * MIB

    def all_came() -> bool:
        for one in bus.pending():
            if one["route"] == "later":
                assert bus.call("POST", f"/api/pending/{one['id']}/drop")[0] == 200
        states = bus.states()
        return states["dropped"] == 40 and states["delivered"] == 4

    wait_until(all_came, 60, "all events to come")
    wait_until(lambda: not bus.health()["lastError"], 30, "room again")


def test_the_health_report_says_how_much_room_there_is(bus: Bus) -> None:
    report = bus.sidecar.get("/api/health")[1]
    [disk] = report["sidecar"]["disks"]
    assert disk["folder"] == str(bus.sidecar.home)
    assert disk["freeBytes"] > 0
    assert disk["lastError"] == ("" if not disk["low"] else disk["lastError"])
    assert report["delivery"]["inbox"]["maxBytes"] == 16 * MIB
    assert bus.sidecar.metric('openclaw_nats_disk_free_bytes{of="state"}') > 0
