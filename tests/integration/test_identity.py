"""An event is itself by where it was stored; nobody suppresses or replaces another's by choosing an id."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.jetstream import api, publish
from tests.support.processes import NatsServer, Sidecar, event, wait_until
from tests.support.storage import take_back_to

COPIES = "agent.events.copies"


class Copying:
    """A sidecar with one route, which copies what it gets to a subject of its own."""

    def __init__(self, folder: Path, nats: NatsServer, config: str = "") -> None:
        self.nats = nats
        self.sidecar = Sidecar(folder / "state", nats, config)

    def start(self) -> None:
        self.sidecar.start()
        self.route("copies")

    def route(self, name: str) -> None:
        """A route from agent.events.custom.> to the copies."""
        target = {"kind": "subject", "subject": COPIES}
        route = {"name": name, "pattern": "agent.events.custom.>", "target": target}
        assert self.sidecar.call("POST", "/api/routes", route)[0] in (200, 201)

    def copies(self, count: int) -> list[Any]:
        """The data of the copies, once there are so many; and no more of them follow."""

        def found() -> list[Any]:
            return [one.get("data") for one in self.sidecar.events(f"?subject={COPIES}")]

        wait_until(lambda: len(found()) >= count, what=f"{count} copies")
        self.settled()
        return found()

    def settled(self) -> None:
        """Wait until nothing is under way."""
        wait_until(lambda: not self.sidecar.get("/api/pending")[1]["total"], what="that nothing waits")

    def message_ids(self) -> list[str]:
        """Every `Nats-Msg-Id` of the events stream."""
        state = api(self.nats, "STREAM.INFO.agent_events")["state"]
        numbers = range(state["first_seq"], state["last_seq"] + 1)
        raw = [api(self.nats, "STREAM.MSG.GET.agent_events", {"seq": number})["message"] for number in numbers]
        import base64

        heads = [base64.b64decode(one.get("hdrs", "")).decode() for one in raw]
        return [line.split(": ")[1] for head in heads for line in head.split("\r\n") if line.startswith("Nats-Msg-Id")]


@pytest.fixture
def one(tmp_path: Path, nats: NatsServer) -> Iterator[Copying]:
    found = Copying(tmp_path, nats, '[stream]\nduplicate_window = "1s"\n')
    found.start()
    yield found
    found.sidecar.close()


def cloud_event(number: str, source: str, data: Any) -> dict[str, Any]:
    return event(number, "agent.events.custom.x", id=number, source=source, data=data)


def test_events_of_two_sources_with_one_id_are_two(one: Copying) -> None:
    events = [cloud_event("1", source, source) for source in ("/meter/a", "/meter/b")]
    assert one.sidecar.post_events(events)[1]["accepted"] == 2
    assert one.sidecar.post_events(events)[1] == {"accepted": 0, "duplicates": 2, "rejected": [], "filtered": 0}
    for source in ("/meter/c", "/meter/d"):
        publish(one.nats, "agent.events.custom.x", json.dumps(cloud_event("1", source, source)).encode())
    assert one.copies(4) == ["/meter/a", "/meter/b", "/meter/c", "/meter/d"]
    filtered = one.sidecar.get("/api/receipts")[1]["receipts"]
    assert len(filtered) == 4


def test_an_id_used_again_after_the_window_is_a_new_event(one: Copying) -> None:
    assert one.sidecar.publish("agent.events.custom.a", "first", id="done")[1]["duplicate"] is False
    assert one.sidecar.publish("agent.events.custom.a", "repeated", id="done")[1]["duplicate"] is True
    time.sleep(1.5)
    assert one.sidecar.publish("agent.events.custom.a", "second", id="done")[1]["duplicate"] is False
    assert one.copies(2) == ["first", "second"]


def test_no_id_that_is_planted_in_advance_suppresses_an_event(one: Copying) -> None:
    for number in ("order-1", "api:order-1"):
        publish(one.nats, "agent.events.custom.x", b'"planted"', {"Nats-Msg-Id": number})
    planted = json.dumps(cloud_event("order-1", "openclaw://test", "planted")).encode()
    publish(one.nats, "agent.events.custom.x", planted)
    agent = {"subject": "agent.events.custom.x", "id": "order-1", "payload": "an agent's"}
    call = {"caller": {"agentId": "guest", "sessionKey": "agent:guest:main"}, "parameters": agent}
    assert one.sidecar.call("POST", "/api/tools/nats_publish", call)[0] == 200
    assert one.sidecar.post_events([cloud_event("order-1", "openclaw://test", "real")])[1]["accepted"] == 1
    assert one.sidecar.publish("agent.events.custom.x", "published", id="order-1")[1]["duplicate"] is False
    assert one.copies(6)[-3:] == ["an agent's", "real", "published"]
    assert not [
        number for number in one.message_ids() if "order-1" in number and number not in ("order-1", "api:order-1")
    ]
    key = one.sidecar.home / "identity-key"
    assert key.stat().st_mode & 0o777 == 0o600


def test_a_late_retry_is_compared_by_the_same_identity(one: Copying) -> None:
    since = {"openclaw-nats-retry-since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3))}
    publish(one.nats, "agent.events.custom.x", b"planted", {"Nats-Msg-Id": "a"})
    one.sidecar.post_events([cloud_event("b", "/one", 1)])
    time.sleep(1.5)
    again = [cloud_event("a", "/one", 2), cloud_event("b", "/one", 1), cloud_event("b", "/two", 3)]
    answer = one.sidecar.post_events(again, since)[1]
    assert (answer["accepted"], answer["duplicates"]) == (2, 1)
    assert one.copies(4) == ["planted", 1, 2, 3]


def test_a_foreign_document_keeps_all_of_its_fields(one: Copying) -> None:
    tickets = [
        {"id": "T-1", "subject": "Printer", "payload": {"state": state}, "by": "A"} for state in ("open", "done")
    ]
    tickets += [{"id": "T-2", "subject": "Printer", "payload": 1}]
    near = {"id": "T-3", "subject": "agent.events.custom.t", "payload": {"n": 1}}
    tickets += [{**near, "meta": {"floor": 3}}, {**near, "extra": True}]
    for ticket in tickets:
        publish(one.nats, "agent.events.custom.t", json.dumps(ticket).encode())
    publish(one.nats, "agent.events.custom.t", json.dumps({**near, "timestamp": "2026-11-01T00:00:00Z"}).encode())
    assert one.copies(6) == [*tickets, {"n": 1}]


def test_a_stream_made_again_gives_its_sequences_to_new_events(one: Copying) -> None:
    for number in (1, 2):
        publish(one.nats, "agent.events.custom.x", f'"old {number}"'.encode())
    assert one.copies(2) == ["old 1", "old 2"]
    one.sidecar.close()
    assert "error" not in api(one.nats, "STREAM.DELETE.agent_events")
    one.sidecar.start()
    for number in (1, 2):
        publish(one.nats, "agent.events.custom.x", f'"new {number}"'.encode())
    assert one.copies(2) == ["new 1", "new 2"]


def test_a_stream_made_again_under_a_running_sidecar_delivers_no_older_content(one: Copying) -> None:
    publish(one.nats, "agent.events.custom.x", b'"old"')
    assert one.copies(1) == ["old"]
    assert "error" not in api(one.nats, "STREAM.DELETE.agent_events")
    wait_until(lambda: "error" not in api(one.nats, "STREAM.INFO.agent_events"), 45, "the stream to be made again")
    publish(one.nats, "agent.events.custom.x", b'"new"')
    assert one.copies(1) == ["new"]


def test_a_consumer_made_again_delivers_nothing_twice(one: Copying) -> None:
    one.sidecar.post_events([cloud_event(str(number), "/s", number) for number in range(20)])
    assert one.copies(20) == list(range(20))
    one.sidecar.close()
    name = api(one.nats, "CONSUMER.NAMES.agent_events")["consumers"][0]
    assert api(one.nats, f"CONSUMER.DELETE.agent_events.{name}")["success"]
    one.sidecar.start()
    one.sidecar.post_events([cloud_event("20", "/s", 20)])
    assert one.copies(21) == list(range(21))


def test_what_the_version_before_stored_and_took_in_is_known_after_the_upgrade(
    tmp_path: Path, nats: NatsServer
) -> None:
    one = Copying(tmp_path, nats)
    one.start()
    try:
        old = cloud_event("cron:a:1", "/s", "old")
        publish(nats, "agent.events.custom.x", json.dumps(old).encode(), {"Nats-Msg-Id": "cron:a:1"})  # as 0.1.0 did
        assert one.copies(1) == ["old"]
        one.sidecar.close()
        take_back_to(one.sidecar.home / "sidecar.db", 2)
        (one.sidecar.home / "identity-key").unlink()
        name = api(nats, "CONSUMER.NAMES.agent_events")["consumers"][0]
        api(nats, f"CONSUMER.DELETE.agent_events.{name}")  # it comes again
        time.sleep(1.1)  # the moment of the upgrade is kept in whole seconds
        one.sidecar.start()
        began = {"openclaw-nats-retry-since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 20))}
        other = cloud_event("cron:a:1", "/another", "another source's")
        answer = one.sidecar.post_events([old, other], began)[1]
        assert (answer["accepted"], answer["duplicates"]) == (1, 1)
        assert one.copies(2) == ["old", "another source's"]
    finally:
        one.sidecar.close()
