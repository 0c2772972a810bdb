"""CloudEvents: what is accepted, what is refused and why."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_nats.errors import InvalidInput
from openclaw_nats.events import envelope
from openclaw_nats.events.ids import uuid7
from tests.support.processes import event


def test_a_valid_event_keeps_its_data_as_it_came() -> None:
    document = json.dumps(event(1, data={"b": 1, "a": [1.50, None]}), separators=(",", ":")).encode()
    parsed = envelope.decode(document)
    assert bytes(parsed.data) == b'{"b":1,"a":[1.5,null]}'
    assert parsed.priority == 5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"specversion": None}, "specversion"),
        ({"id": ""}, "id"),
        ({"id": " a"}, "id"),
        ({"id": "é" * 129}, "id"),
        ({"source": ""}, "source"),
        ({"type": "a\nb"}, "type"),
        ({"time": "yesterday"}, "time"),
        ({"time": "2026-11-22T10:00:00"}, "time"),
        ({"time": "2026-11-22"}, "time"),
        ({"traceparent": "00-x"}, "traceparent"),
    ],
)
def test_a_wrong_attribute_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        envelope.decode(json.dumps(event(1) | change).encode())


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({"priority": "high"}, {"priority": 5}),
        ({"priority": "7"}, {"priority": 7}),
        ({"priority": 0}, {"priority": 5}),
        ({"priority": 99}, {"priority": 5}),
        ({"priority": 1.5}, {"priority": 5}),
        ({"priority": True}, {"priority": 5}),
        ({"hops": -1}, {"hops": 0}),
        ({"hops": 10**30}, {"hops": 0}),
        ({"hops": "many"}, {"hops": 0}),
        ({"sessionkey": 7, "agentid": True, "runid": 1.5}, {"sessionkey": "", "agentid": "", "runid": ""}),
    ],
)
def test_an_extension_that_is_somebody_elses_is_kept_and_counts_for_nothing(
    change: dict[str, Any], counts: dict[str, Any]
) -> None:
    document = json.dumps(event(1) | change).encode()
    parsed, stored = envelope.read(document)
    assert stored == document
    assert {name: getattr(parsed, name) for name in counts} == counts


@pytest.mark.parametrize("late", [0, 10_000])
def test_attributes_that_are_null_are_not_there(late: int) -> None:
    given = {"data": {"kept": None, "pad": "x" * late}} | event(1, time=None, subject=None, other=None, data=None)
    parsed, stored = envelope.read(json.dumps(given).encode(), subject_of=lambda kind: f"agent.events.custom.{kind}")
    assert (parsed.time, parsed.subject) == ("", "agent.events.custom.openclaw.custom.test")
    assert set(json.loads(stored)) == {"specversion", "id", "source", "type", "subject", "data"}
    with pytest.raises(InvalidInput, match="subject"):
        envelope.read(json.dumps(given).encode())


@pytest.mark.parametrize(
    ("given_time", "stored_time"),
    [
        ("2026-11-22t10:00:00z", "2026-11-22T10:00:00Z"),
        ("2026-11-22T10:00:00.123456789+01:00", "2026-11-22T10:00:00.123456789+01:00"),
        ("2026-06-30T23:59:60Z", "2026-06-30T23:59:60Z"),
    ],
)
def test_times_of_rfc_3339_are_taken_and_written_in_capitals(given_time: str, stored_time: str) -> None:
    _, stored = envelope.read(json.dumps(event(1, time=given_time)).encode())
    assert json.loads(stored)["time"] == stored_time


@pytest.mark.parametrize(
    "time", ["20261122T100000Z", "2026-11-22 10:00:00Z", "2026-W47-1T10:00:00Z", "2026-11-22T10Z", ""]
)
def test_other_times_are_not(time: str) -> None:
    document = json.dumps(event(1, time=time)).encode()
    if not time:
        event_, stored = envelope.read(document)
        assert (event_.time, "time" in json.loads(stored)) == ("", False)
        return
    with pytest.raises(InvalidInput, match="time"):
        envelope.decode(document)


@given(
    st.dictionaries(
        st.sampled_from([*event(1), "priority", "hops", "traceparent"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=5,
        ),
    )
)
def test_no_json_crashes_decoding(change: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidInput):
        envelope.decode(json.dumps(event(1) | change).encode("utf-8", "replace"))


@given(st.binary(max_size=200))
def test_no_bytes_crash_decoding(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        envelope.decode(body)


@given(st.integers(0, 2**48 - 1))
def test_ids_are_uuid7_of_their_time(milliseconds: int) -> None:
    text = uuid7(milliseconds)
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", text)
    assert int(text.replace("-", "")[:12], 16) == milliseconds


@given(st.integers(0, 4_000_000_000_000))
def test_times_survive_the_round_trip(milliseconds: int) -> None:
    parsed = envelope.parse_time(envelope.format_time(milliseconds))
    assert round(parsed.timestamp() * 1000) == milliseconds
