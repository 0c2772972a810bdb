"""What watchers read that others wrote: whatever it is, it ends in time, with an event or the one error for it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_nats.cli.watch_options import options_from
from openclaw_nats.contract.sources import (
    CalendarOptions,
    CommandOptions,
    FeedOptions,
    FilesOptions,
    HttpOptions,
    MailOptions,
    SourceOptions,
)
from openclaw_nats.errors import InvalidInput, WatchFailed
from openclaw_nats.events import json_path
from openclaw_nats.sources import watched
from openclaw_nats.sources.book import check_secret
from openclaw_nats.watchers import command, fetching, files, http
from openclaw_nats.watchers.text import shortened

TEXT = st.text(st.characters(codec=None), max_size=200)  # half characters, too
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("", []),
        ("$", []),
        ("$.a.b", ["a", "b"]),
        ("a.b", ["a", "b"]),
        ("a[0].b-c", ["a", 0, "b-c"]),
        ('$["a key"][-1]', ["a key", -1]),
        ("$['x']", ["x"]),
    ],
)
def test_a_json_path_names_one_value(path: str, steps: list[Any]) -> None:
    assert json_path.parse(path) == steps


@pytest.mark.parametrize(
    "path", ["a..b", "$a", "a[", "a[*]", "$..x", "a b", "a[1.5]", ".", "a.", "x" * 300, "a[?(@.b)]"]
)
def test_what_is_no_json_path_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput):
        json_path.parse(path)


def test_a_value_is_found_where_there_is_one() -> None:
    document = {"a": [{"b": 1}, {"b": None}], "c": "text"}
    assert json_path.find(document, ["a", -1, "b"]) == (True, None)
    for steps in (["a", 2], ["a", "b"], ["c", 0], ["c", "x"], ["d"], ["a", 0, "b", "c"]):
        assert json_path.find(document, steps) == (False, None)


@given(TEXT)
def test_any_text_is_a_json_path_or_refused(path: str) -> None:
    with contextlib.suppress(InvalidInput):
        json_path.find({"a": [1]}, json_path.parse(path))


@given(st.binary(max_size=2000) | JSON.map(lambda value: json.dumps(value).encode()), st.sampled_from(["", "a", "[0]"]))
def test_any_answer_is_a_value_or_a_failure(body: bytes, path: str) -> None:
    try:
        found = http.found_in(body, path)
    except WatchFailed:
        return
    json.dumps(found.data, allow_nan=False)
    assert len(found.value) <= 8192


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b"9" * 5000, b'{"a":' * 90_000, b'"\\ud800"', b"1e400", b"\xef\xbb\xbf1"]
)
def test_hostile_json_is_bounded(body: bytes) -> None:
    for path in ("", "a"):
        try:
            json.dumps(http.found_in(body, path).data)
        except WatchFailed:
            assert path


@given(st.lists(st.binary(max_size=60) | st.just(b"\n") | st.just(b"x" * 20_000), max_size=30))
def test_any_output_is_cut_into_the_same_lines_however_it_comes(chunks: list[bytes]) -> None:
    together, apart = command.Lines(), command.Lines()
    whole = together.feed(b"".join(chunks)) + together.last()
    assert [one for chunk in chunks for one in apart.feed(chunk)] + apart.last() == whole
    for one in whole:
        assert len(one["line"].encode()) <= 3 * command.MAX_LINE
        assert "\n" not in one["line"]
    numbers = [one["number"] for one in whole]
    assert numbers == sorted(set(numbers))


def test_a_character_that_is_cut_in_half_is_left_out() -> None:
    lines = command.Lines()
    (one,) = lines.feed(b"x" * (command.MAX_LINE - 1) + "é…\n".encode())
    assert one == {"line": "x" * (command.MAX_LINE - 1), "number": 1, "truncated": True}


@given(TEXT, st.integers(1, 300))
def test_a_shortened_text_can_be_written(text: str, most: int) -> None:
    assert len(shortened(text, most).encode()) <= 4 * most


def look(**found: str) -> files.Look:
    return files.Look(found)


def test_a_change_counts_when_it_has_stayed() -> None:
    changes, known = files.Changes(settle=2.0), {"a": "1:1"}
    assert changes.settled(known, look(a="2:1"), 0.0) == []
    assert changes.settled(known, look(a="3:1"), 1.0) == []  # it goes on
    assert changes.settled(known, look(a="3:1"), 2.5) == []
    assert changes.pending
    assert changes.settled(known, look(a="3:1"), 3.0) == [("a", "1:1", "3:1")]
    assert not changes.pending
    assert changes.settled({"a": "3:1"}, look(), 4.0) == []  # gone, and there again
    assert changes.settled({"a": "3:1"}, look(a="3:1"), 5.0) == []
    assert changes.settled({"a": "3:1"}, look(), 6.0) == []
    assert changes.settled({"a": "3:1"}, look(), 8.0) == [("a", "3:1", None)]


def test_what_is_in_a_folder_that_can_not_be_read_is_not_gone() -> None:
    changes = files.Changes(settle=0.0)
    unread = files.Look({}, ("deep/",))
    assert changes.settled({"deep/a": "1:1", "deeper": "1:1"}, unread, 0.0) == [("deeper", "1:1", None)]


@given(st.lists(st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["1:1", "2:2", "3:3"])), max_size=20))
def test_whatever_happens_what_is_told_leads_to_what_is_there(looks: list[dict[str, str]]) -> None:
    changes, known, now = files.Changes(settle=1.0), dict[str, str](), 0.0
    for found in [*looks, *(looks[-1:] * 3)]:
        for key, before, after in changes.settled(known, files.Look(found), now):
            assert known.get(key) == before
            assert before != after
            if after is None:
                del known[key]
            else:
                known[key] = after
        now += 0.6
    assert known == (looks[-1] if looks else {})


def test_a_folder_with_too_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_FILES", 10)
    for number in range(12):
        (tmp_path / f"{number}.txt").touch()
    with pytest.raises(WatchFailed, match="more than 10 files"):
        files.look_at(FilesOptions(path=str(tmp_path)))
    assert len(files.look_at(FilesOptions(path=str(tmp_path), pattern="1*.txt")).files) == 3


@pytest.mark.parametrize(
    ("kind", "options", "field"),
    [
        ("files", SourceOptions(), "options.files"),
        ("files", SourceOptions(files=FilesOptions(path="in")), "options.files.path"),
        ("files", SourceOptions(files=FilesOptions(path="/in\0")), "options.files.path"),
        ("files", SourceOptions(files=FilesOptions(path="/in", every="1")), "options.files.every"),
        ("files", SourceOptions(files=FilesOptions(path="/in", every="100ms")), "options.files.every"),
        ("files", SourceOptions(files=FilesOptions(path="/in", settle="40d")), "options.files.settle"),
        ("files", SourceOptions(files=FilesOptions(path="/in"), header="X-Y"), "options.header"),
        ("files", SourceOptions(files=FilesOptions(path="/in"), url="https://x"), "options.url"),
        ("files", SourceOptions(files=FilesOptions(path="/in"), http=HttpOptions(url="http://x")), "options.http"),
        ("github", SourceOptions(files=FilesOptions(path="/in")), "options.files"),
        ("http", SourceOptions(http=HttpOptions(url="file:///etc/passwd")), "options.http.url"),
        ("http", SourceOptions(http=HttpOptions(url="https://")), "options.http.url"),
        ("http", SourceOptions(http=HttpOptions(url="https://[::1")), "options.http.url"),
        ("http", SourceOptions(http=HttpOptions(url="https://x:99999/")), "options.http.url"),
        ("http", SourceOptions(http=HttpOptions(url="https://me:secret@x/")), "options.http.url"),
        ("http", SourceOptions(http=HttpOptions(url="https://x", json_path="a[")), "options.http.jsonPath"),
        ("calendar", SourceOptions(calendar=CalendarOptions()), "options.calendar.url"),
        ("calendar", SourceOptions(calendar=CalendarOptions(path="a.ics")), "options.calendar.path"),
        ("calendar", SourceOptions(calendar=CalendarOptions(url="https://x", before="-1m")), "options.calendar.before"),
        ("feed", SourceOptions(feed=FeedOptions(url="gopher://x")), "options.feed.url"),
        ("feed", SourceOptions(feed=FeedOptions(url="https://x", every="1s")), "options.feed.every"),
        ("mail", SourceOptions(mail=MailOptions(host="a b", user="x")), "options.mail.host"),
        ("mail", SourceOptions(mail=MailOptions(host="a", user="é")), "options.mail.user"),
        ("mail", SourceOptions(mail=MailOptions(host="a", user="x\r\nA1 DELETE")), "options.mail.user"),
        ("mail", SourceOptions(mail=MailOptions(host="a", user="x", mailbox=" ")), "options.mail.mailbox"),
        ("mail", SourceOptions(mail=MailOptions(host="a", user="x", tls="none")), "options.mail.tls"),
        ("mail", SourceOptions(mail=MailOptions(host="a", user="x", port=70_000)), "options.mail.port"),
        ("mail", SourceOptions(mail=MailOptions(host="a", user="x"), header="X-Y"), "options.header"),
        ("command", SourceOptions(command=CommandOptions(command=[])), "options.command.command"),
        ("command", SourceOptions(command=CommandOptions(command=[" "])), "options.command.command"),
        ("command", SourceOptions(command=CommandOptions(command=["a", "b\0"])), "options.command.command"),
        ("command", SourceOptions(command=CommandOptions(command=["a"] * 200)), "options.command.command"),
    ],
)
def test_options_that_can_never_work_are_named(kind: str, options: SourceOptions, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        watched.check(kind, options)
    assert refused.value.field == field


def test_what_is_not_installed_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InvalidInput) as refused:
        watched.check_now("files", SourceOptions(files=FilesOptions(path=str(tmp_path))))
    assert str(refused.value).endswith("pip install 'openclaw-nats[sources]'")
    assert "\n" not in str(refused.value)
    assert watched.missing("http") == ""


def test_flags_become_the_options_of_their_type() -> None:
    given = {"command": "tail -n 0 -F 'a file'", "every": None, "recursive": False}
    assert options_from("command", given) == {"command": {"command": ["tail", "-n", "0", "-F", "a file"]}}
    given = {"host": "x", "user": "me", "port": "143", "mark_read": True}
    assert options_from("mail", given) == {"mail": {"host": "x", "user": "me", "port": 143, "markRead": True}}
    assert options_from("http", {"url": "https://x", "json_path": "a"}) == {
        "http": {"url": "https://x", "jsonPath": "a"}
    }
    assert options_from("github", {"url": "https://x"}) == {}
    for kind, wrong in (("files", {}), ("files", {"path": "/", "url": "x"}), ("github", {"path": "/"})):
        with pytest.raises(InvalidInput, match="--"):
            options_from(kind, wrong)


@pytest.mark.parametrize(
    ("secret", "fits"),
    [("http", True), ("feed", True), ("calendar", True), ("mail", True), ("files", False), ("command", False)],
)
def test_only_what_signs_in_somewhere_has_a_secret(secret: str, fits: bool) -> None:
    if fits:
        check_secret(secret, "a-token")
    else:
        with pytest.raises(InvalidInput, match="no secret"):
            check_secret(secret, "a-token")
    if secret == "mail":
        with pytest.raises(InvalidInput, match="empty"):
            check_secret(secret, "")
    else:
        check_secret(secret, "")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.1.2.3", "::1", "fe80::1", "::ffff:127.0.0.1", "localhost", "169.254.169.254"]
)
def test_a_redirect_into_our_own_network_is_known(host: str) -> None:
    assert fetching._is_private(host)
    assert not fetching._is_private("93.184.216.34")
    with pytest.raises(WatchFailed, match="not on the public internet"):
        fetching._next(urlsplit("https://example.org/a"), f"https://{f'[{host}]' if ':' in host else host}/")


@pytest.mark.parametrize("to", ["", "ftp://example.org/", "http://example.org/", "javascript:x"])
def test_a_redirect_that_leads_nowhere_good_is_not_followed(to: str) -> None:
    with pytest.raises(WatchFailed):
        fetching._next(urlsplit("https://example.org/a"), to)
    assert fetching._next(urlsplit("http://example.org/a"), "/b") == "http://example.org/b"
