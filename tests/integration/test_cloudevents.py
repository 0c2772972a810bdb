"""CloudEvents as their specifications say, with the official SDK: every form by every way in, and shown alike."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings import http as second
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent as SecondEvent
from cloudevents.v1.conversion import to_binary, to_structured
from cloudevents.v1.http import CloudEvent as FirstEvent

from tests.support import jetstream
from tests.support.processes import NatsServer, Sidecar, wait_until

SUBJECT = "agent.events.custom.sdk"
TIME = datetime.datetime(2026, 11, 22, 10, 0, 0, tzinfo=datetime.UTC)


class Bus:
    """A sidecar and its NATS, with every way in."""

    def __init__(self, folder: Path) -> None:
        self.nats = NatsServer(folder / "nats-server")
        self.nats.start()
        self.sidecar = Sidecar(folder / "state", self.nats)
        self.sidecar.start()

    def post(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        status, _, answer = self.sidecar.request("POST", path, body, headers)
        return status, json.loads(answer)

    def newest(self) -> dict[str, Any]:
        return self.sidecar.events()[-1]

    def count(self) -> int:
        return len(self.sidecar.events())


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    one = Bus(tmp_path_factory.mktemp("cloudevents"))
    yield one
    one.sidecar.close()
    one.nats.close()


def first_event(number: str, data: Any = None, **more: str) -> FirstEvent:
    attributes = {"type": "com.example.made", "source": "https://example.com/a", "id": number, "subject": SUBJECT}
    return FirstEvent(attributes | more, data)


def second_event(number: str, data: Any = None, **more: Any) -> SecondEvent:
    attributes = {"type": "com.example.made", "source": "https://example.com/a", "id": number, "specversion": "1.0"}
    return SecondEvent({**attributes, "subject": SUBJECT, "time": TIME, **more}, data)


@pytest.mark.parametrize("path", ["/api/events", "/api/publish"])
@pytest.mark.parametrize("make", [to_structured, to_binary])
def test_the_sdks_first_api_in_its_default_forms(bus: Bus, make: Any, path: str) -> None:
    number = f"first-{make.__name__}-{path[-6:]}"
    headers, body = make(first_event(number, {"message": "Grüße"}, priority="high", myext="a b"))
    status, answer = bus.post(path, headers, body)
    assert (status, answer["id"], answer["subject"]) == (200, number, SUBJECT)
    event = bus.newest()
    assert (event["id"], event["type"], event["source"]) == (number, "com.example.made", "https://example.com/a")
    assert (event["data"], event["priority"], event["myext"]) == ({"message": "Grüße"}, "high", "a b")


@pytest.mark.parametrize("path", ["/api/events", "/api/publish"])
@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_the_sdks_second_api(bus: Bus, mode: str, path: str) -> None:
    number = f"second-{mode}-{path[-6:]}"
    event = second_event(number, {"message": "Grüße"}, datacontenttype="application/json", myext="ü ö")
    to = second.to_structured if mode == "structured" else second.to_binary
    message = to(event, JSONFormat())
    assert bus.post(path, dict(message.headers), message.body)[0] == 200
    stored = bus.newest()
    assert (stored["id"], stored["data"], stored["myext"]) == (number, {"message": "Grüße"}, "ü ö")
    assert stored["time"].startswith("2026-11-22T10:00:00")


def test_octets_and_texts_of_the_sdk(bus: Bus) -> None:
    octets = bytes(range(256))
    for make in (to_structured, to_binary):
        headers, body = make(first_event(f"octets-{make.__name__}", octets, datacontenttype="image/png"))
        assert bus.post("/api/events", headers, body)[0] == 200
        event = bus.newest()
        assert (event["datacontenttype"], event["data_base64"][:8]) == ("image/png", "AAECAwQF")
        assert "data" not in event
    event = first_event("text", "123", datacontenttype="text/plain; charset=utf-8")
    headers, body = to_binary(event, data_marshaller=lambda text: text.encode())  # by default it makes JSON of it
    assert bus.post("/api/events", headers, body)[0] == 200
    assert bus.newest()["data"] == "123"


def test_a_batch_and_one_wrong_event_in_it(bus: Bus) -> None:
    events = [json.loads(to_structured(first_event(f"batch-{n}", {"n": n}))[1]) for n in range(3)]
    events[1]["type"] = None
    headers = {"Content-Type": "Application/CloudEvents-Batch+JSON; charset=UTF-8"}
    status, answer = bus.post("/api/events", headers, json.dumps(events).encode())
    assert (status, answer["accepted"], answer["rejected"][0]["index"]) == (200, 2, 1)
    assert "type" in answer["rejected"][0]["error"]


def test_an_event_without_a_subject_gets_one_of_its_type(bus: Bus) -> None:
    for make in (to_structured, to_binary):
        event = FirstEvent({"type": "com.example/made.v2", "source": "s"}, {"a": 1})
        assert bus.post("/api/events", *make(event))[1]["subject"] == "agent.events.custom.com.example_made.v2"
    assert bus.newest()["data"] == {"a": 1}


def test_the_subject_in_the_address_decides_as_it_does_over_nats(bus: Bus) -> None:
    path = f"/api/events?subject={SUBJECT}.photo"
    for make in (to_structured, to_binary):
        headers, body = make(first_event(f"photo-{make.__name__}", {"a": 1}, subject="my photo.jpg"))
        assert bus.post(path, headers, body)[1]["subject"] == f"{SUBJECT}.photo"
        assert bus.newest()["cesubject"] == "my photo.jpg"
        status, problem = bus.post("/api/events", headers, body)
        assert (status, problem["type"].rpartition(":")[2]) == (422, "invalid-subject")
    assert bus.post("/api/events?subject=a..b", headers, body)[0] == 422
    assert bus.post("/api/events?other=1", headers, body)[0] == 400


# What is sent, and what has to be shown for it. Each goes in over HTTP (with the subject in the address) and over NATS.
ATTRIBUTES = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "s", "ce-type": "t"}
CE_JSON = {"content-type": "application/cloudevents+json"}
WHOLE = b'{"specversion":"1.0","id":"w","source":"s","type":"t","data":1}'


def whole(number: str, **more: Any) -> bytes:
    """A whole event with an id of its own."""
    return json.dumps({**json.loads(WHOLE), "id": number, **more}, separators=(",", ":")).encode()


ALIKE: dict[str, tuple[dict[str, str], bytes, dict[str, Any]]] = {
    "a list that is text": ({"content-type": "text/plain"}, b"[INFO] begun", {"data": "[INFO] begun"}),
    "a number that is text": ({"content-type": "TEXT/Plain;charset=utf-8"}, b"123", {"data": "123"}),
    "JSON with a suffix": ({"content-type": "application/vnd.a+json"}, b'{"a": [1]}', {"data": {"a": [1]}}),
    "text in Latin-1": ({"content-type": "text/plain; charset=iso-8859-1"}, b"gr\xfcn", {"data": "grün"}),
    "text that says UTF-8 and is not": ({"content-type": "text/plain"}, b"gr\xfcn", {"data_base64": "Z3L8bg=="}),
    "octets": ({"content-type": "application/octet-stream"}, b"abc", {"data_base64": "YWJj"}),
    "XML": ({"content-type": "application/xml"}, b"<a/>", {"data": "<a/>"}),
    "binary mode": (
        {
            "ce-specversion": "1.0",
            "ce-id": "b%C3%BC",
            "ce-source": "/a%20b",
            "ce-type": "t",
            "ce-time": "2026-01-01t00:00:00z",
        },
        b'{"a":1}',
        {"id": "bü", "source": "/a b", "type": "t", "time": "2026-01-01T00:00:00Z", "data": {"a": 1}},
    ),
    "an event as the data of another": (
        {"ce-specversion": "1.0", "ce-id": "o", "ce-source": "s", "ce-type": "t", "content-type": "application/json"},
        b'{"specversion":"1.0","id":"inner","source":"s","type":"t"}',
        {"id": "o", "data": {"specversion": "1.0", "id": "inner", "source": "s", "type": "t"}},
    ),
    "a file's name as subject": (
        {"ce-specversion": "1.0", "ce-id": "f", "ce-source": "s", "ce-type": "t", "ce-subject": "a%2Fb.jpg"},
        b"",
        {"id": "f", "cesubject": "a/b.jpg"},
    ),
    "structured, specversion late": (
        {"content-type": "application/cloudevents+json"},
        json.dumps(
            {"data": "x" * 5000, "foo": None, "priority": "urgent", "id": "l", "source": "s", "type": "t"}
            | {"time": "2026-01-01t00:00:00.5z", "hops": "many", "sessionid": 7, "specversion": "1.0"}
        ).encode(),
        {"id": "l", "data": "x" * 5000, "priority": "urgent", "sessionid": 7, "time": "2026-01-01T00:00:00.5Z"},
    ),
    "JSON that is no event": ({"content-type": "application/json"}, b'{"a":1}', {"data": {"a": 1}}),
    "JSON with parameters": (
        {"content-type": 'Application/JSON; CharSet="UTF-8"'},
        '["ü"]'.encode(),
        {"data": ["ü"], "datacontenttype": 'Application/JSON; CharSet="UTF-8"'},
    ),
    "a number as JSON": ({"content-type": "application/json"}, b"5", {"data": 5}),
    "JSON of another kind": (ATTRIBUTES | {"content-type": "image/json"}, b'{"a":1}', {"data": {"a": 1}}),
    "lines of JSON": (
        ATTRIBUTES | {"ce-id": "lines", "content-type": "application/x-ndjson"},
        b'{"a":1}\n{"a":2}\n',
        {"data": '{"a":1}\n{"a":2}\n'},
    ),
    "JSON behind a mark": ({"content-type": "application/json"}, b'\xef\xbb\xbf{"a":1}', {"data": {"a": 1}}),
    "an event without a content type": ({}, whole("w1"), {"id": "w1", "data": 1}),
    "an event as JSON": ({"content-type": "application/json"}, whole("w2"), {"id": "w2", "data": 1}),
    "structured behind a mark": (CE_JSON, b"\xef\xbb\xbf" + whole("w3"), {"id": "w3", "data": 1}),
    "structured with white space": (
        CE_JSON,
        b"\n " + whole("w4", time="").replace(b",", b" ,\n\t"),
        {"id": "w4", "data": 1},
    ),
    "structured octets": (
        {"content-type": "Application/CloudEvents+JSON"},
        b'{"specversion":"1.0","id":"so","source":"s","type":"t","data_base64":"//8=","datacontenttype":"image/gif"}',
        {"id": "so", "data_base64": "//8=", "datacontenttype": "image/gif"},
    ),
}


@pytest.mark.parametrize("name", ALIKE)
def test_what_one_way_takes_the_other_takes_and_shows_alike(bus: Bus, name: str) -> None:
    headers, body, expected = ALIKE[name]
    subject = f"{SUBJECT}.alike.{list(ALIKE).index(name)}"
    jetstream.publish(bus.nats, f"{subject}.nats", body, headers)
    over_nats = wait_until(lambda: bus.sidecar.events(f"?subject={subject}.nats"), what="the event over NATS")[0]
    status, answer = bus.post(f"/api/events?subject={subject}.http", headers, body)
    assert (status, answer.get("accepted")) == (200, 1), answer
    over_http = bus.sidecar.events(f"?subject={subject}.http")[0]
    assert bus.post(f"/api/publish?subject={subject}.publish", headers, body)[0] == 200
    published = bus.sidecar.events(f"?subject={subject}.publish")
    for event in (over_nats, over_http, *published):  # what has an id of its own is a duplicate by the second way
        assert "id" in expected or "ce-id" in headers or published
        assert {key: event.get(key) for key in expected} == expected
        assert ("data" in event) == ("data" in expected)
        assert "foo" not in event
        assert "Content-Type".lower() not in event
    made = {"id", "source", "type", "time", "subject", "priority"} - expected.keys()
    alike = [{key: value for key, value in event.items() if key not in made} for event in (over_nats, over_http)]
    assert alike[0] == alike[1]


@pytest.mark.parametrize("name", [name for name in ALIKE if name.startswith("structured")])
@pytest.mark.parametrize("kind", ["application/cloudevents-batch+json", "application/json", "application/x-ndjson"])
def test_many_events_in_one_body_are_taken_and_shown_as_one_is(bus: Bus, name: str, kind: str) -> None:
    _, body, expected = ALIKE[name]
    subject = f"{SUBJECT}.many.{list(ALIKE).index(name)}.{len(kind)}"
    event = json.loads(body.decode("utf-8-sig"))
    events = [json.dumps(event | {"id": f"{kind} {name} {n}"}).encode() for n in range(2)]
    whole = b"\n".join(events) + b"\n" if kind.endswith("ndjson") else b"[%b]" % b",\n".join(events)
    mark = b"\xef\xbb\xbf" if "mark" in name else b""
    status, answer = bus.post(f"/api/events?subject={subject}", {"content-type": kind}, mark + whole)
    assert (status, answer.get("accepted"), answer.get("rejected")) == (200, 2, [])
    for stored in bus.sidecar.events(f"?subject={subject}"):
        assert {key: stored.get(key) for key in expected} == expected | {"id": stored["id"]}


def test_one_event_with_an_attribute_twice_does_not_cost_the_others(bus: Bus) -> None:
    twice = WHOLE.replace(b'"id":"w"', b'"id":"w","id":"x"')
    for kind, body in (("application/json", b"[%b, %b]"), ("application/x-ndjson", b"%b\n%b")):
        other = WHOLE.replace(b'"w"', b'"beside %d"' % len(kind))
        path = f"/api/events?subject={SUBJECT}.twice"
        _, answer = bus.post(path, {"content-type": kind}, body % (twice, other))
        assert answer["accepted"] == 1
        assert "'id' twice" in answer["rejected"][0]["error"]


def test_a_publish_request_and_a_subject_in_the_address(bus: Bus) -> None:
    body = json.dumps({"subject": f"{SUBJECT}.own", "payload": 1}).encode()
    json_type = {"content-type": "application/json"}
    assert bus.post("/api/publish?routes=true", json_type, body)[1]["subject"] == f"{SUBJECT}.own"
    assert bus.post(f"/api/publish?routes=true&subject={SUBJECT}.own", json_type, b"[1]")[1]["routes"] == []
    assert bus.newest()["data"] == [1]
    status, problem = bus.post(f"/api/publish?subject={SUBJECT}.other", json_type, body)
    assert status == 422
    assert "the address" in problem["detail"]


@pytest.mark.parametrize(
    ("headers", "body", "words"),
    [
        (
            CE_JSON,
            b'{"specversion":"1.0","id":5,"source":"s","type":"t"}',
            "id",
        ),
        (CE_JSON, b'{"specversion":"1.0","id":"1","source":"s"}', "type"),
        (CE_JSON, b'{"specversion":"1.0","id":"1",]', "byte 30"),
        ({"content-type": "application/cloudevents+xml"}, b"<event/>", "xml"),
        ({"ce-specversion": "1.0", "ce-id": "1", "ce-source": "s"}, b"", "ce-type"),
        ({"ce-specversion": "0.3", "ce-id": "1", "ce-source": "s", "ce-type": "t"}, b"", "specversion"),
        ({"ce-specversion": "1.0", "ce-id": "%FF", "ce-source": "s", "ce-type": "t"}, b"", "ce-id"),
        (ATTRIBUTES | {"ce-time": "noon"}, b"", "time"),
        (
            ATTRIBUTES | {"content-type": "application/json"},
            b'{"a":',
            "JSON",
        ),
        (
            CE_JSON,
            b'{"specversion":"1.0","id":"1","source":"s","type":"t","data":1,"data_base64":"AA=="}',
            "both",
        ),
        (
            CE_JSON,
            b'{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"*"}',
            "data_base64",
        ),
        (CE_JSON, WHOLE.replace(b'"id"', b'"id":"0", "id"'), "'id' twice"),
        (CE_JSON, WHOLE.replace(b'"data"', rb'"d\u0061ta":{"password":"x"},"data"'), "'data' twice"),
    ],
)
def test_an_invalid_event_has_one_reason_which_names_the_place(
    bus: Bus, headers: dict[str, str], body: bytes, words: str
) -> None:
    before = bus.count()
    for path in ("/api/events", f"/api/events?subject={SUBJECT}", "/api/publish"):
        status, problem = bus.post(path, headers, body)
        assert status in (400, 422)
        assert words in problem["detail"], problem
    assert bus.count() == before


def test_routes_see_octets_and_texts_as_they_are(bus: Bus) -> None:
    """The document that a route's webhook, template and condition get is the one that history shows."""
    route = {
        "name": "octets",
        "pattern": f"{SUBJECT}.octets.>",
        "target": {"kind": "subject", "subject": "agent.events.custom.copy"},
    }
    assert bus.sidecar.call("POST", "/api/routes", {**route, "payload": {"route": "octets"}})[0] == 201
    jetstream.publish(bus.nats, f"{SUBJECT}.octets.a", b"\xff\x00")
    copy = wait_until(lambda: bus.sidecar.events("?subject=agent.events.custom.copy"), what="the copy")[0]
    assert copy["data"] == {"base64": "/wA=", "route": "octets"}
    assert "data_base64" not in copy
