"""Traces: what counts as a traceparent, and the ids that plugin and sidecar derive alike."""

from __future__ import annotations

import json

import pytest

from openclaw_nats.events import trace
from openclaw_nats.events.decoding import decode_message, document_of
from openclaw_nats.events.messages import StoredMessage

GOOD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00"


@pytest.mark.parametrize(
    "value",
    [
        "",
        None,
        7,
        "x",
        GOOD.upper(),
        GOOD + "-00",
        GOOD.replace("00-", "01-", 1),
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
    ],
)
def test_what_is_no_traceparent_is_left_out(value: object) -> None:
    assert trace.parse(value) is None
    assert trace.given(value) == ""


def test_of_several_events_the_first_trace_is_the_parent_and_none_is_named_twice() -> None:
    events = [{}, {"traceparent": GOOD}, {"traceparent": "x"}, {"traceparent": OTHER}, {"traceparent": GOOD}]
    assert trace.carried(events) == [GOOD, OTHER]
    many = [{"traceparent": f"00-{number:032x}-{number:016x}-01"} for number in range(1, 100)]
    assert len(trace.carried(many)) == trace.MAX_CARRIED


def test_a_runs_span_is_the_one_that_the_plugin_derives() -> None:
    assert f"{trace.run_span('run-1'):016x}" == "cef38b0fc7db4161"  # in tests/plugin/hooks.test.js too


def message(body: bytes, **headers: str) -> StoredMessage:
    return StoredMessage(
        subject="agent.events.custom.x",
        sequence=1,
        time=0,
        pending=0,
        body=body,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


CLOUD_EVENT = {
    "specversion": "1.0",
    "id": "1",
    "source": "s",
    "type": "t",
    "subject": "agent.events.custom.x",
    "data": {"a": 1},
}


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b'{"a": 1}', {"traceparent": GOOD}, GOOD),
        (b'{"a": 1}', {"Traceparent": GOOD}, GOOD),
        (b'{"a": 1}', {"ce_traceparent": OTHER, "traceparent": GOOD}, OTHER),
        (b'{"a": 1}', {"traceparent": "nonsense"}, None),
        (b'{"a": 1}', {}, None),
        (json.dumps(CLOUD_EVENT).encode(), {"traceparent": GOOD}, GOOD),
        (json.dumps({**CLOUD_EVENT, "subject": "agent.events.custom.y"}).encode(), {"traceparent": GOOD}, GOOD),
        (json.dumps({**CLOUD_EVENT, "traceparent": OTHER}).encode(), {"traceparent": GOOD}, OTHER),
    ],
)
def test_a_header_of_the_nats_message_counts_where_the_event_names_no_trace(
    body: bytes, headers: dict[str, str], expected: str | None
) -> None:
    decoded, wrong = decode_message(message(body, **headers))
    assert wrong == ""
    event = json.loads(decoded.document)
    assert event.get("traceparent") == expected
    assert event["data"] == {"a": 1}
    assert json.loads(document_of(message(body, **headers))).get("traceparent") == expected
