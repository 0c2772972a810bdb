"""JSON that others wrote: half characters, numbers that no double holds, nesting without end."""

from __future__ import annotations

import contextlib
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_nats.errors import InvalidEvent, Poison
from openclaw_nats.events import json_text
from openclaw_nats.events.decoding import decode_message, document_of
from openclaw_nats.events.messages import StoredMessage
from tests.support.processes import event


def stored(body: bytes, headers: dict[str, str] | None = None) -> StoredMessage:
    return StoredMessage(1, "agent.events.custom.a", headers or {}, body, 1_700_000_000_000_000_000, 0)


@pytest.mark.parametrize(
    ("given_text", "whole"),
    [
        (rb'"a\ud83d"', "a\ufffd"),
        (rb'"\ude00b"', "\ufffdb"),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'"\uD83D\uDE00"', "\U0001f600"),
        (rb'"\ude00\ud83d"', "\ufffd\ufffd"),
        (rb'"\ud83d\ud83d\ude00"', "\ufffd\U0001f600"),
        (rb'"\ud83d\ude00\ude00"', "\U0001f600\ufffd"),
        (rb'"\ud83d\u0041"', "\ufffdA"),
        (rb'"\\ud83d"', r"\ud83d"),
        (rb'"\\\ud83d"', "\\\ufffd"),
        (rb'"\ud83d\\ude00"', "\ufffd\\ude00"),
    ],
)
def test_half_a_character_becomes_a_replacement_character(given_text: bytes, whole: str) -> None:
    assert json.loads(json_text.well_formed(given_text)) == whole


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_is_well_formed_afterwards_and_whole_text_is_kept(text: str) -> None:
    found = json.loads(json_text.well_formed(json.dumps(text).encode()))
    assert found == json_text.whole_text(text)
    found.encode()
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    assert found == text


@pytest.mark.parametrize("depth", [100, 256, 257, 400, 1000, 5000, 100_000])
@pytest.mark.parametrize(("begin", "middle", "end"), [("[", "", "]"), ('{"a":', "1", "}"), ('[{"a":', "1", "}]")])
def test_nesting_has_one_limit_everywhere(depth: int, begin: str, middle: str, end: str) -> None:
    levels = depth // (2 if begin.startswith("[{") else 1)
    data = begin * levels + middle + end * levels
    whole = b'{"specversion":"1.0","id":"a","source":"s","type":"t","subject":"agent.events.custom.a","data":%b}'
    for body, too_deep in (
        (data.encode(), depth + 1 > json_text.MAX_DEPTH),
        (whole % data.encode(), depth + 1 > json_text.MAX_DEPTH),
    ):
        _, reason = decode_message(stored(body))
        assert (f"nested more than {json_text.MAX_DEPTH} levels" in reason) == too_deep, reason
        assert bool(reason) == too_deep
        json.loads(document_of(stored(body)))


@pytest.mark.parametrize(
    "number", ["1e400", "-1e400", "1e-400", "-0", "9" * 25, "1e999999999", "0." + "0" * 3000 + "1"]
)
def test_a_number_that_is_valid_json_stays_as_it_is_written(number: str) -> None:
    for body in (
        f'{{"n":{number}}}'.encode(),
        json.dumps(event(1, "agent.events.custom.a", data="X")).replace('"X"', f'{{"n":{number}}}').encode(),
    ):
        decoded, reason = decode_message(stored(body))
        assert reason == ""
        assert f'"n":{number}'.encode() in decoded.document
        json.dumps(json_text.shown(decoded.document), default=lambda raw: bytes(raw).decode())


def test_who_has_to_read_a_number_that_is_out_of_range_is_given_the_reason() -> None:
    with pytest.raises(Poison, match="out of range, such as 1e400"):
        json_text.values(b'{"a":1e400}')
    assert json_text.values(b'{"a":1e308}') == {"a": 1e308}
    shown = json_text.shown(b'{"a":1,"b":{"c":1e400}}')
    assert shown["a"] == 1
    assert bytes(shown["b"]) == b'{"c":1e400}'


def test_a_number_of_100000_digits_is_refused_and_digits_in_text_are_not() -> None:
    with pytest.raises(InvalidEvent, match="digits"):
        json_text.check(b'{"a":' + b"1" * 100_000 + b"}")
    json_text.check(b'{"a":"' + b"1" * 100_000 + b'"}')
    assert "digits" in decode_message(stored(b"[" + b"1" * 100_000 + b"]"))[1]
    assert b'"text/plain"' in document_of(stored(b"1" * 100_000))


@pytest.mark.parametrize(
    "headers",
    [
        {"ce-hops": "9" * 5000},
        {"ce-hops": "²"},
        {"ce-priority": "11"},
        {"ce-id": "\ud83d"},
        {"ce-sessionkey": "a\udcffb"},
        {"Nats-Msg-Id": "\udcff"},
    ],
)
def test_no_header_is_too_strange_to_be_read(headers: dict[str, str]) -> None:
    decoded, _ = decode_message(stored(b'{"k":1}', headers))
    json.loads(decoded.document)
    json.loads(document_of(stored(b"text", headers)))


@pytest.mark.parametrize(
    "unit", [b"[", b"{", b'"', b"\\", b'\\"', b"[{}", b'{"a":[', rb"\ud83d", rb"\ude00", rb"\\ud83d", b"1", b'"1"']
)
def test_looking_at_text_takes_time_that_grows_with_its_length_only(unit: bytes) -> None:
    def seconds(size: int) -> float:
        text = b'{"a":' + unit * (size // len(unit))
        began = time.process_time()
        for work in (json_text.check, json_text.well_formed):
            with contextlib.suppress(InvalidEvent):
                work(text)
        return time.process_time() - began

    seconds(1 << 16)
    assert seconds(1 << 20) < 16 * max(seconds(1 << 18), 0.002)  # 4 times the text: 16 times would be its square


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (b"[]", []),
        (b" [ 1 , 2 ] ", [b"1", b"2"]),
        (b'[{"a": [1, {"b": 2}]}, "x,]}", [[]]]', [b'{"a": [1, {"b": 2}]}', b'"x,]}"', b"[[]]"]),
        (b'["\\"]", 1]', [b'"\\"]"', b"1"]),
        (b"[" + b"[" * 9000 + b"]" * 9000 + b", 1]", [b"[" * 9000 + b"]" * 9000, b"1"]),
    ],
)
def test_the_items_of_an_array_are_found_however_deep_they_are(array: bytes, expected: list[bytes]) -> None:
    assert json_text.items(array) == expected


@pytest.mark.parametrize("broken", [b"", b"[", b"]", b"{}", b"[1,,2]", b"[1,]", b"[1]]", b"[[1]", b"[1] 2", b'["a]'])
def test_what_is_no_array_has_no_items(broken: bytes) -> None:
    with pytest.raises(ValueError, match="no array"):
        json_text.items(broken)
