"""POST /api/publish and POST /api/events against a real sidecar and nats-server."""

from __future__ import annotations

import json

import pytest

from tests.support.processes import Sidecar, event

JSON = {"Content-Type": "application/json"}


def test_publish_answers_with_the_sequence_and_the_event_is_in_the_stream(bus: Sidecar) -> None:
    status, answer = bus.publish(
        "agent.events.custom.door",
        {"open": True},
        id="door-1",
        priority=8,
        sessionKey="agent:main:main",
        meta={"traceId": "0af7651916cd43dd8448eb211c80319c", "correlationId": "c-1"},
    )
    assert status == 200
    assert set(answer) == {"id", "subject", "sequence", "duplicate"}
    stored = next(one for one in bus.events() if one["id"] == "door-1")
    assert stored["subject"] == "agent.events.custom.door"
    assert stored["data"] == {"open": True}
    assert stored["priority"] == 8
    assert stored["sessionkey"] == "agent:main:main"
    assert stored["correlationid"] == "c-1"
    assert stored["traceparent"].startswith("00-0af7651916cd43dd8448eb211c80319c-")
    assert stored["specversion"] == "1.0"
    assert stored["time"].endswith("Z")


def test_the_same_id_is_stored_once_and_told_as_a_duplicate(bus: Sidecar) -> None:
    first = bus.publish("agent.events.custom.twice", 1, id="twice")[1]
    second = bus.publish("agent.events.custom.twice", 1, id="twice")[1]
    assert (first["duplicate"], second["duplicate"]) == (False, True)
    assert first["sequence"] == second["sequence"]
    assert sum(one["id"] == "twice" for one in bus.events()) == 1


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"{", 400, "malformed"),
        (b"", 400, "malformed"),
        (b'{"subject":"agent.events.custom.a","payload":"\xff"}', 400, "malformed"),
        (b'{"subject":"agent.events.custom.a","payload":' + b"[" * 9_000 + b"]" * 9_000 + b"}", 422, "invalid-event"),
        (b'{"subject":"agent.events.custom.a","payload":' + b"[" * 200000 + b"]" * 200000 + b"}", 422, "invalid-event"),
        (b"[]", 422, "invalid-event"),
        (b'{"payload":1}', 422, "invalid-event"),
        (b'{"subject":"agent.events.custom.a"}', 422, "invalid-event"),
        (b'{"subject":7,"payload":1}', 422, "invalid-event"),
        (b'{"subject":"agent.events.custom.a","payload":1,"priority":11}', 422, "invalid-event"),
        (b'{"subject":"agent.events.custom.a","payload":1,"priority":true}', 422, "invalid-event"),
        (b'{"subject":"agent.events.custom.a","payload":1,"priority":"high"}', 422, "invalid-event"),
        (b'{"subject":"agent.events.custom.a","payload":1,"meta":{"priority":0}}', 422, "invalid-event"),
        (b'{"subject":"agent.events.custom.a","payload":1,"id":""}', 422, "invalid-event"),
        (b'{"subject":"agent.events.custom.a","payload":1,"id":"a\\nb"}', 422, "invalid-event"),
        (b'{"subject":"agent.events.custom.a","payload":1,"id":"' + b"x" * 300 + b'"}', 422, "invalid-event"),
        (b'{"subject":"other.a","payload":1}', 422, "invalid-subject"),
        (b'{"subject":"agent.events.","payload":1}', 422, "invalid-subject"),
        (b'{"subject":"agent.events.a..b","payload":1}', 422, "invalid-subject"),
        (b'{"subject":"agent.events.a.","payload":1}', 422, "invalid-subject"),
        (b'{"subject":"agent.events.*","payload":1}', 422, "invalid-subject"),
        (b'{"subject":"agent.events.a.>","payload":1}', 422, "invalid-subject"),
        (b'{"subject":"agent.events.a b","payload":1}', 422, "invalid-subject"),
        (b'{"subject":"agent.events.a\\u0000","payload":1}', 422, "invalid-subject"),
        (b'{"subject":"agent.events.' + b"x" * 300 + b'","payload":1}', 422, "invalid-subject"),
        (b'{"subject":"agent.events' + b".a" * 15 + b'","payload":1}', 422, "invalid-subject"),
        (b'{"subject":"agent.events.custom.a","payload":"' + b"x" * (1024 * 1024) + b'"}', 413, "too-large"),
    ],
)
def test_bad_input_gets_a_clear_4xx_and_the_next_request_works(
    bus: Sidecar, body: bytes, status: int, kind: str
) -> None:
    given, headers, answer = bus.request("POST", "/api/publish", body, JSON)
    problem = json.loads(answer)
    assert (given, problem["type"]) == (status, f"urn:openclaw-nats:problem:{kind}"), problem
    assert headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert bus.publish("agent.events.custom.after", 1)[0] == 200


def test_half_a_character_is_replaced_and_costs_nothing_else(bus: Sidecar) -> None:
    body = rb'{"subject":"agent.events.custom.\ud800","payload":{"\ude00":"a\ud83d","b":"\ud83d\ude00"}}'
    status, _, answer = bus.request("POST", "/api/publish", body, JSON)
    assert status == 200, answer
    (event,) = bus.events("?subject=agent.events.custom.%EF%BF%BD")
    assert event["data"] == {"\ufffd": "a\ufffd", "b": "\U0001f600"}


def test_the_longest_valid_subjects_and_events_are_taken(bus: Sidecar) -> None:
    assert bus.publish("agent.events." + "x" * (255 - len("agent.events.")), 1)[0] == 200
    assert bus.publish("agent.events" + ".a" * 14, 1)[0] == 200
    room = 1024 * 1024 - len('{"subject": "agent.events.custom.big", "payload": ""}')
    assert bus.publish("agent.events.custom.big", "x" * room)[0] == 200


def test_one_bad_line_does_not_cost_the_others(bus: Sidecar) -> None:
    events = [event("good-1"), b"{", event("bad", subject="nope"), event("good-2"), b'{"specversion":"1.0"}', b"\xff"]
    status, answer = bus.post_events(events)
    assert status == 200
    assert answer["accepted"] == 2
    assert [one["index"] for one in answer["rejected"]] == [1, 2, 4, 5]
    assert all(one["error"] for one in answer["rejected"])
    ids = [one["id"] for one in bus.events()]
    assert "id-good-1" in ids
    assert "id-good-2" in ids


def test_half_overlapping_batches_store_each_event_once(bus: Sidecar) -> None:
    first = bus.post_events([event(f"half-{n}") for n in range(100)])[1]
    second = bus.post_events([event(f"half-{n}") for n in range(50, 150)])[1]
    assert (first["accepted"], first["duplicates"]) == (100, 0)
    assert (second["accepted"], second["duplicates"]) == (50, 50)
    ids = [one["id"] for one in bus.events() if one["id"].startswith("id-half-")]
    assert sorted(ids) == sorted({f"id-half-{n}" for n in range(150)})


def test_one_batch_with_the_same_id_twice_stores_it_once(bus: Sidecar) -> None:
    answer = bus.post_events([event("same"), event("same"), event("other")])[1]
    assert (answer["accepted"], answer["duplicates"]) == (2, 1)
    assert sum(one["id"] == "id-same" for one in bus.events()) == 1


def test_a_json_array_of_cloudevents_is_taken_too(bus: Sidecar) -> None:
    for kind in ("application/json", "application/cloudevents-batch+json; charset=utf-8"):
        body = json.dumps([event(f"array-{kind}"), {"id": 3}]).encode()
        status, _, answer = bus.request("POST", "/api/events", body, {"Content-Type": kind})
        assert status == 200
        outcome = json.loads(answer)
        assert (outcome["accepted"], [one["index"] for one in outcome["rejected"]]) == (1, [1])


def test_a_whole_batch_that_is_no_json_array_is_malformed(bus: Sidecar) -> None:
    assert bus.request("POST", "/api/events", b"[1,", JSON)[0] == 400
    assert bus.request("POST", "/api/events", b'{"a":1}', JSON)[0] == 422


def test_batches_over_the_limits_are_refused_whole(bus: Sidecar) -> None:
    too_long = b"x" * (8 * 1024 * 1024 + 1)
    assert bus.request("POST", "/api/events", too_long, {"Content-Type": "application/x-ndjson"})[0] == 413
    too_many = json.dumps([1] * 10_001).encode()
    assert bus.request("POST", "/api/events", too_many, JSON)[0] == 422
    assert bus.publish("agent.events.custom.after", 1)[0] == 200


def test_unknown_extension_attributes_are_kept(bus: Sidecar) -> None:
    bus.post_events([event("extension", myattribute="kept")])
    assert next(one for one in bus.events() if one["id"] == "id-extension")["myattribute"] == "kept"


def test_secrets_in_data_are_masked_and_the_rest_stays(bus: Sidecar) -> None:
    data = {"password": "hunter2", "note": "use sk-abcdefghijklmnopqrstuvwx now", "totalTokens": 7, "key": "C major"}
    bus.post_events([event("secret", data=data, myattribute="kept")])
    stored = next(one for one in bus.events() if one["id"] == "id-secret")
    assert stored["data"] == {
        "password": "[redacted]",
        "note": "use [redacted] now",
        "totalTokens": 7,
        "key": "C major",
    }
    assert stored["myattribute"] == "kept"


@pytest.mark.parametrize("kind", ["text/plain", "", "application/xml", "multipart/form-data"])
def test_other_content_types_are_415(bus: Sidecar, kind: str) -> None:
    headers = {"Content-Type": kind} if kind else {}
    assert bus.request("POST", "/api/publish", b"{}", headers)[0] == 415
    assert bus.request("POST", "/api/events", b"{}", headers)[0] == 415


def test_history_can_be_filtered_and_limited(bus: Sidecar) -> None:
    for number in range(5):
        bus.publish(f"agent.events.custom.history.{number % 2}", number)
    found = bus.events("?subject=agent.events.custom.history.0")
    assert [one["data"] for one in found] == [0, 2, 4]
    assert [one["data"] for one in bus.events("?subject=agent.events.custom.history.>&limit=2")] == [3, 4]
    assert len(bus.events("?subject=agent.events.custom.history.>&since=1h")) == 5
    assert bus.events("?subject=agent.events.custom.history.>&limit=0") == []


@pytest.mark.parametrize(
    ("query", "status"),
    [("?since=yesterday", 400), ("?limit=-1", 400), ("?subject=a..b", 422), ("?foo=1", 400), ("?follow=perhaps", 400)],
)
def test_a_wrong_query_is_told(bus: Sidecar, query: str, status: int) -> None:
    assert bus.request("GET", f"/api/events{query}")[0] == status


def test_metrics_count_what_happened(bus: Sidecar) -> None:
    accepted, duplicates = (bus.metric(f"openclaw_nats_events_{name}_total") for name in ("accepted", "duplicate"))
    bus.publish("agent.events.custom.metric", 1, id="metric")
    bus.publish("agent.events.custom.metric", 1, id="metric")
    assert bus.metric("openclaw_nats_events_accepted_total") == accepted + 1
    assert bus.metric("openclaw_nats_events_duplicate_total") == duplicates + 1
    assert bus.metric("openclaw_nats_nats_up") == 1
    bus.publish("nope", 1)
    assert bus.metric('openclaw_nats_events_rejected_total{reason="invalid-subject"}') >= 1


def test_logs_hold_no_payload_and_no_key(bus: Sidecar) -> None:
    bus.publish("agent.events.custom.log", {"text": "very-private-words"})
    bus.publish("agent.events.custom.log..", {"text": "very-private-words"})
    text = (bus.home / "logs" / "sidecar.log").read_text() + (bus.home / "sidecar.out").read_text()
    assert "very-private-words" not in text
    assert "test-key" not in text
    assert "test-nats-password" not in text


def test_a_bad_line_of_ndjson_is_named_by_its_number(bus: Sidecar) -> None:
    lines = b"\n".join([b"", json.dumps(event("good line")).encode(), b"  ", b"{", b"", b"7", b""])
    status, _, body = bus.request("POST", "/api/events", lines, {"Content-Type": "application/x-ndjson"})
    answer = json.loads(body)
    assert (status, answer["accepted"]) == (200, 1)
    assert [(one["index"], one["line"]) for one in answer["rejected"]] == [(1, 4), (2, 6)]
    array = b"[" + json.dumps(event("good line")).encode() + b", 7]"
    answer = json.loads(bus.request("POST", "/api/events", array, {"Content-Type": "application/json"})[2])
    assert [(one["index"], "line" in one) for one in answer["rejected"]] == [(1, False)]
