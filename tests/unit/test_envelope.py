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
        ({"priority": 0}, "priority"),
        ({"priority": 1.5}, "priority"),
        ({"hops": -1}, "hops"),
        ({"hops": 10**30}, "hops"),
        ({"traceparent": "00-x"}, "traceparent"),
        ({"sessionkey": 7}, "sessionkey"),
    ],
)
def test_a_wrong_attribute_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        envelope.decode(json.dumps(event(1) | change).encode())


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
