"""The index of the stream: what text finds, and what a crash, a full index or a damaged file leave behind."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openclaw_nats.errors import Unavailable
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.origin import GATEWAY, OUTSIDE, Origin
from openclaw_nats.events.searchable import (
    MAX_CHARACTERS,
    MAX_TERMS,
    failed,
    folded,
    grams_of,
    has_terms,
    indexed,
    terms_of,
    text_of,
)
from openclaw_nats.insight.indexer import entry_of
from openclaw_nats.storage.event_index import Entry, EventIndex
from openclaw_nats.storage.event_search import Wanted, histogram, newest_names, search

SIZE = 64 << 20
NOBODY = ("agent.events.custom.a", "", "", "", "outside")


def entry(sequence: int, text: str = "", **more: Any) -> Entry:
    given_ = {"at": sequence * 1000, "names": NOBODY, "flags": 0, "text": indexed(folded(text))} | more
    return Entry(sequence, **given_)


def ids(index: EventIndex, text: str = "", **more: Any) -> list[int]:
    wanted = Wanted(terms=terms_of(text), **more)
    return [sequence for sequence, _ in search(index, wanted, 1 << 62, 1000, 5.0).candidates]


@pytest.fixture
def index(tmp_path: Path) -> EventIndex:
    return EventIndex(tmp_path / "events.db", SIZE, segment_events=10)


@pytest.mark.parametrize(
    ("typed", "terms"),
    [
        ("", ()),
        ("Two  words", ("two", "words")),
        ('say "No  Way" again', ("say", "no way", "again")),
        ('"open', ("open",)),
        ('"" x ""', ("x",)),
        ("a\x00b", ("a b",)),
        ("x x X", ("x",)),
    ],
)
def test_words_and_phrases(typed: str, terms: tuple[str, ...]) -> None:
    assert terms_of(typed) == terms
    assert len(terms_of(" ".join(map(str, range(100))))) == MAX_TERMS


def test_what_is_searched_of_an_event() -> None:
    event = {
        "specversion": "1.0",
        "subject": "agent.events.tool.exec",
        "data": {"tool": "Exec", "list": [1, True, None, {"deep": "ÉCLAIR"}], "text": 'a "b"\n c'},
    }
    assert text_of(event) == 'agent.events.tool.exec tool exec list 1 true deep éclair text a "b" c'
    assert len(text_of({"data": ["x" * 100_000] * 100})) == MAX_CHARACTERS
    deep: Any = "end"
    for _ in range(5000):
        deep = [deep]
    assert text_of({"data": deep}) == "end"


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60), st.data())
def test_every_part_of_a_text_is_found_by_the_index_or_read_from_the_stream(text: str, data: Any) -> None:
    whole = folded(text)
    begin = data.draw(st.integers(0, len(whole)))
    part = folded(whole[begin : begin + data.draw(st.integers(1, 40))])
    if part and part in whole:
        stored = indexed(whole)
        assert all(gram in stored for gram in grams_of(part)), (whole, part)
        assert has_terms(whole, (part,))


@pytest.mark.parametrize(
    ("text", "found"), [("rain", True), ("ain in", True), ("日本", True), ("本", True), ("🚪", True)]
)
def test_parts_of_words_and_short_words_of_other_scripts_are_found(index: EventIndex, text: str, found: bool) -> None:
    index.add("s", [entry(1, "Rain in 日本語 🚪"), entry(2, "nothing")], 2)
    assert ids(index, text) == [1]
    assert ids(index, "語日") == []


def test_whatever_is_typed_is_no_syntax_error(index: EventIndex) -> None:
    index.add("s", [entry(1, 'a OR "b" (c*) NEAR body:x')], 1)
    for text in ("OR", "NEAR", '"', "(c*)", "body:x", "a AND NOT", "'; DROP TABLE events", "\x02", "-" * 5000):
        ids(index, text)


def test_segments_are_searched_newest_first_and_a_cursor_goes_on(index: EventIndex) -> None:
    index.add("s", [entry(n, "even" if n % 2 == 0 else "odd") for n in range(1, 10)], 9)
    for n in range(10, 55):
        index.add("s", [entry(n, "even" if n % 2 == 0 else "odd")], n)
    assert index.state().events == 54
    first = search(index, Wanted(terms=("even",)), 1 << 62, 10, 5.0)
    assert [one for one, _ in first.candidates] == list(range(54, 34, -2))
    assert (first.ended, first.down_to, first.at) == (False, 36, 36_000)
    rest = search(index, Wanted(terms=("even",)), first.down_to, 1000, 5.0)
    assert [one for one, _ in rest.candidates] == list(range(34, 0, -2))
    assert rest.ended
    assert ids(index, since=20_000, until=23_000) == [22, 21, 20]
    late = search(index, Wanted(), 1 << 62, 1000, -1.0)
    assert (late.candidates, late.ended) == ([], False), "no time at all: it says that it has not looked"


def test_names_patterns_and_flags(index: EventIndex) -> None:
    tool = ("agent.events.tool.exec", "ops", "agent:ops:main", "run", "gateway")
    index.add("s", [entry(1), entry(2, names=tool, flags=1), entry(3, flags=2)], 3)
    assert ids(index, agent="ops") == ids(index, kind="tool") == ids(index, failed=True) == [2]
    assert ids(index, subject="agent.events.*.exec", run="run", origin="gateway", session="agent:ops:main") == [2]
    assert ids(index, agent="nobody") == ids(index, kind="nothing") == ids(index, subject="agent.events.x.>") == []
    assert ids(index) == [2, 1]
    assert ids(index, probes=True) == [3, 2, 1]
    assert newest_names(index, "agent", 5) == ["ops"]
    assert histogram(index, Wanted(probes=True), 1000, 2000, 2, 5.0) == ([2, 1], [1, 0], True)


def test_what_was_added_twice_is_there_once_and_the_position_never_goes_back(index: EventIndex) -> None:
    index.add("s", [entry(1, "word"), entry(2, "word")], 2)
    index.add("s", [entry(1, "word"), entry(2, "word"), entry(3, "word")], 3)
    index.add("s", [], 2)
    assert ids(index, "word") == [3, 2, 1]
    assert index.state().position == 3


def test_a_failed_group_leaves_neither_rows_nor_position(index: EventIndex, tmp_path: Path) -> None:
    index.add("s", [entry(1, "kept")], 1)
    with pytest.raises(Unavailable):
        index.add("s", [entry(2, "lost"), entry(3, "lost"), entry(3, "a sequence that is there")], 3)
    assert (index.state().position, ids(index)) == (1, [1])
    index.add("s", [entry(2, "again", names=("agent.events.custom.new", "", "", "", ""))], 2)
    assert ids(index, subject="agent.events.custom.new") == [2]
    again = EventIndex(index.path, SIZE)
    assert ids(again, "again") == [2]


def test_what_left_the_stream_is_gone(index: EventIndex) -> None:
    for n in range(1, 41):
        index.add("s", [entry(n, "word", names=(f"agent.events.custom.n{n}", "", "", "", ""))], n)
    index.remove_before(26)
    assert ids(index, "word") == list(range(40, 25, -1))
    index.remove([30, 31, 99])
    assert ids(index, "word") == [40, 39, 38, 37, 36, 35, 34, 33, 32, 29, 28, 27, 26]
    assert index.state().events == 13
    assert "agent.events.custom.n1" not in newest_names(index, "subject", 100)
    index.begin_again()
    assert (index.state().events, index.state().position, index.state().stream) == (0, 0, "")
    index.add("t", [entry(1, "word")], 1)
    assert ids(index, "word") == [1]


@pytest.mark.parametrize("content", [b"no database at all" * 500, b""])
def test_a_file_that_is_none_is_made_again(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "events.db"
    file.write_bytes(content)
    index = EventIndex(file, SIZE)
    assert index.state().events == 0
    index.add("s", [entry(1, "word")], 1)
    assert ids(index, "word") == [1]


def test_a_file_of_another_version_is_made_again(index: EventIndex) -> None:
    index.add("s", [entry(1)], 1)
    index.close()
    with sqlite3.connect(index.path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    assert EventIndex(index.path, SIZE).state().events == 0


def message(body: bytes, origin: Origin, *, believed: bool = True) -> StoredMessage:
    return StoredMessage(7, "agent.events.custom.x", {}, body, 5_000_000_000, 0, origin, believed)


def test_only_who_is_believed_says_whose_an_event_is() -> None:
    body = (
        b'{"specversion":"1.0","id":"1","source":"s","type":"t","subject":"agent.events.custom.x","agentid":"main",'
        b'"sessionkey":"agent:main:main","runid":"r","data":{"error":"no"}}'
    )
    own = entry_of(message(body, GATEWAY))
    assert own.names == ("agent.events.custom.x", "main", "agent:main:main", "r", "gateway")
    assert (own.sequence, own.at, own.flags) == (7, 5000, 1)
    for other in (message(body, OUTSIDE), message(body, Origin("key:k")), message(body, GATEWAY, believed=False)):
        assert entry_of(other).names[1:4] == ("", "", "")
        assert "main" in entry_of(other).text, "it is found by its text all the same"


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b'{"a":', b'{"data":1e400}', b"[" * 5000, b"null", b'"\\ud83d"'])
def test_whatever_lies_in_the_stream_can_be_indexed(index: EventIndex, body: bytes) -> None:
    index.add("s", [entry_of(message(body, OUTSIDE))], 7)
    assert ids(index) == [7]


@pytest.mark.parametrize(
    ("event", "bad"),
    [
        ({"subject": "agent.events.tool.x.failed"}, True),
        ({"subject": "a", "data": {"success": False}}, True),
        ({"subject": "a", "data": {"outcome": "error"}}, True),
        ({"subject": "a", "data": {"error": "x"}}, True),
        ({"subject": "a", "data": {"success": True, "error": None}}, False),
        ({"subject": "a", "data": "failed"}, False),
    ],
)
def test_what_counts_as_failed(event: dict[str, Any], bad: bool) -> None:
    assert failed(event) is bad
