"""A stream that was put back to an earlier state gives sequences that we know to new events: none of them is lost."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.inbound import Bus
from tests.support.jetstream import api, publish
from tests.support.processes import wait_until


class PutBack:
    """A bus whose nats-server gets an older copy of its store."""

    def __init__(self, folder: Path) -> None:
        self.bus = Bus(folder)
        self.store, self.copy = folder / "nats-server" / "js", folder / "older"

    def publish(self, *numbers: int) -> None:
        """Events from somebody else, without the sidecar."""
        for number in numbers:
            publish(self.bus.nats, "agent.events.custom.x", json.dumps({"n": number}).encode())

    def route(self, name: str) -> None:
        """A route whose deliveries `got` can tell apart."""
        self.bus.route(name, "agent.events.custom.>", {"kind": "webhook", "url": f"{self.bus.stub.url}/{name}"})

    def got(self, name: str) -> list[int]:
        """What a route has delivered."""
        return [act["body"]["data"]["n"] for act in self.bus.stub.acts() if act["path"] == f"/{name}"]

    def keep_copy(self) -> None:
        """Copy the store as it is now."""
        self.bus.nats.signal(signal.SIGTERM)
        shutil.copytree(self.store, self.copy)
        self.bus.nats.start()

    def put_back(self, *, consumers: bool) -> None:
        """The copy instead of the store."""
        self.bus.nats.signal(signal.SIGTERM)
        shutil.rmtree(self.store)
        shutil.copytree(self.copy, self.store)
        self.bus.nats.start()
        if not consumers:
            for name in api(self.bus.nats, "CONSUMER.NAMES.agent_events")["consumers"]:
                assert api(self.bus.nats, f"CONSUMER.DELETE.agent_events.{name}")["success"]


@pytest.fixture
def one(tmp_path: Path) -> Iterator[PutBack]:
    found = PutBack(tmp_path)
    try:
        found.bus.start()
        yield found
    finally:
        found.bus.close()


@pytest.mark.parametrize("consumers", [True, False], ids=["with its consumers", "without consumers"])
@pytest.mark.parametrize("running", [True, False], ids=["running", "killed"])
def test_new_events_on_old_sequences_are_delivered_once(one: PutBack, running: bool, consumers: bool) -> None:
    one.route("early")
    one.publish(*range(20))
    wait_until(lambda: len(one.got("early")) == 20, what="the first events")
    one.keep_copy()
    one.bus.sidecar.wait_up()
    one.publish(*range(20, 40))
    wait_until(lambda: len(one.got("early")) == 40, what="events after the copy")
    one.route("late")
    one.publish(*range(40, 45))
    wait_until(lambda: len(one.got("late")) == 5, what="events of both routes")
    mark = one.bus.sidecar.home / "sidecar.db"
    wait_until(lambda: _mark(mark) == 45, what="that the sidecar has looked at the stream")
    if not running:
        one.bus.sidecar.kill()
        _account_of_before(mark, handled=30)
    one.put_back(consumers=consumers)
    new = list(range(100, 108))  # fewer than were lost: the sequences of the late route are not reached again
    if not running:
        one.publish(*new)
        one.bus.sidecar.start()
    else:
        one.bus.sidecar.wait_up()
        one.publish(*new)
    wait_until(lambda: len(one.got("late")) >= 13 and len(one.got("early")) >= 53, what="the new events")
    one.publish(*range(200, 230))
    wait_until(lambda: len(one.got("late")) >= 43 and len(one.got("early")) >= 83, what="newer events")
    assert sorted(one.got("early")) == [*range(45), *new, *range(200, 230)]
    assert sorted(one.got("late")) == [*range(40, 45), *new, *range(200, 230)]
    assert one.bus.health()["missed"] is None
    one.bus.sidecar.kill()  # and the next process does not take it for another one once more
    one.bus.sidecar.start()
    one.publish(300)
    wait_until(lambda: one.got("late")[-1:] == [300] and one.got("early")[-1:] == [300], what="one more")
    assert (len(one.got("early")), len(one.got("late"))) == (84, 44)


def test_what_the_older_state_kept_unseen_is_delivered(one: PutBack) -> None:
    one.route("early")
    one.publish(*range(10))
    wait_until(lambda: len(one.got("early")) == 10, what="the first events")
    wait_until(lambda: _mark(one.bus.sidecar.home / "sidecar.db") == 10, what="that the sidecar has looked")
    one.bus.sidecar.kill()
    one.publish(*range(10, 14))
    one.keep_copy()
    one.publish(*range(14, 20))
    one.put_back(consumers=False)
    one.publish(*range(30, 33))
    one.bus.sidecar.start()
    wait_until(lambda: len(one.got("early")) >= 17, what="what the copy kept, and what is new")
    assert sorted(one.got("early")) == [*range(14), 30, 31, 32]


def _account_of_before(database: Path, handled: int) -> None:
    """What is kept when the process ends between taking events and its next look at the stream."""
    with closing(sqlite3.connect(database)) as db, db:
        text = db.execute("SELECT value FROM facts WHERE name = 'events missed'").fetchone()[0]
        changed = json.dumps(json.loads(text) | {"handled": handled})
        db.execute("UPDATE facts SET value = ? WHERE name = 'events missed'", (changed,))


def _mark(database: Path) -> int:
    with closing(sqlite3.connect(database)) as db:
        row = db.execute("SELECT value FROM facts WHERE name = 'stream mark'").fetchone()
    return int(json.loads(row[0])["sequence"]) if row else 0
