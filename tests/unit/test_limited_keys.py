"""Limited keys: what a file of them may hold, which of them count, and what is no event although it is on a subject."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

from openclaw_nats.contract.keys import LimitedKey
from openclaw_nats.errors import InvalidInput, SettingsError
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.modes import TWICE
from openclaw_nats.events.origin import OPERATOR, of_limited_key
from openclaw_nats.events.seals import SEAL, Seals
from openclaw_nats.inbound.forgeries import forgery
from openclaw_nats.jetstream.client import OVERSIZE, SturdyClient
from openclaw_nats.jetstream.key_door import Room
from openclaw_nats.keys.file import MAX_KEYS, KeyFile, read
from openclaw_nats.keys.known import KnownKeys
from openclaw_nats.keys.making import check_name, new_secret, public_half
from openclaw_nats.record_file import MAX_BYTES
from openclaw_nats.service.files import write_private


def a_key(name: str, public: str, expires: float | None = None) -> LimitedKey:
    key = LimitedKey(name, ["agent.events.custom.>"], [], public, format_seconds(0))
    if expires is not None:
        key.expires = format_seconds(expires)
    return key


def test_a_key_counts_from_when_it_is_written_until_it_is_gone_or_over(tmp_path: Path) -> None:
    now = [1_000_000.0]
    known, file = KnownKeys(tmp_path, lambda: now[0]), KeyFile(tmp_path, write_private)
    (one, its), (other, others) = new_secret(), new_secret()
    assert known.find(one) is None
    with file.changing() as keys:
        keys += [a_key("one", its), a_key("other", others, 1_000_010.0)]
    assert (found := known.find(one)) is not None
    assert (found.name, known.lasts(found)) == ("one", True)
    assert known.next_end() == 1_000_010.0
    assert [key.name for key in known.valid()] == ["one", "other"]
    assert known.find(other) is not None
    now[0] = 1_000_010.0
    assert known.find(other) is None
    assert [key.name for key in known.valid()] == ["one"]
    with file.changing() as keys:
        keys[:] = [key for key in keys if key.name != "one"]
    assert not known.lasts(found)
    assert known.find(one) is None


def test_a_key_of_which_the_rights_change_is_another_one(tmp_path: Path) -> None:
    known, file = KnownKeys(tmp_path), KeyFile(tmp_path, write_private)
    secret, public = new_secret()
    with file.changing() as keys:
        keys.append(a_key("one", public))
    found = known.find(secret)
    assert found is not None
    with file.changing() as keys:
        keys[0].publish = ["agent.events.custom.less"]
    assert not known.lasts(found)
    again = known.find(secret)
    assert again is not None
    assert again.publish == ["agent.events.custom.less"]


def test_what_fails_on_the_way_changes_nothing(tmp_path: Path) -> None:
    file = KeyFile(tmp_path, write_private)
    with file.changing() as keys:
        keys.append(a_key("one", new_secret()[1]))
    before = file.path.read_bytes()

    def clear_and_fail() -> None:
        with file.changing() as keys:
            keys.clear()
            raise InvalidInput("no")

    def add_too_many() -> None:
        with file.changing() as keys:
            keys += [a_key(f"k{n}", keys[0].public) for n in range(MAX_KEYS)]

    for change, why in ((clear_and_fail, "no"), (add_too_many, str(MAX_KEYS))):
        with pytest.raises(InvalidInput, match=why):
            change()
    assert file.path.read_bytes() == before


OTHERS = new_secret()[1]
GOOD = {
    "name": "a",
    "publish": ["agent.events.custom.a"],
    "read": [],
    "public": new_secret()[1],
    "made": "2026-01-01T00:00:00Z",
}

ANOTHER_LETTER = "Y" if str(GOOD["public"]).endswith("Z") else "Z"


@pytest.mark.parametrize(
    "change",
    [
        {"name": "A"}, {"name": "../x"}, {"name": ""}, {"name": 1}, {"publish": []}, {"publish": ["a.>"]},
        {"publish": ["agent.events.custom.a\nx"]}, {"publish": ["agent.events.custom.a"] * 51}, {"public": "U"},
        {"public": 'U", permissions: {} }, { nkey: U'}, {"public": "S" + "A" * 55}, {"public": "U" + "A" * 55},
        {"public": OTHERS}, {"public": str(GOOD["public"])[:-1] + ANOTHER_LETTER}, {"expires": "tomorrow"},
        {"expires": "99999-01-01T00:00:00Z"}, {"read": "agent.events.>"},
    ],
)  # fmt: skip
def test_one_wrong_record_makes_no_key_count(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "limited-keys.json"
    path.write_text(json.dumps({"keys": [GOOD]}))
    assert len(read(path)) == 1
    other = {**GOOD, "name": "b", "public": OTHERS}
    path.write_text(json.dumps({"keys": [other, GOOD]}))
    assert len(read(path)) == 2
    path.write_text(json.dumps({"keys": [other, {**GOOD, **change}]}))
    with pytest.raises(SettingsError, match=r"limited-keys\.json"):
        read(path)
    assert not KnownKeys(tmp_path).valid()


def test_a_file_that_could_not_be_read_is_read_again_and_told_once(tmp_path: Path) -> None:
    path, told = tmp_path / "limited-keys.json", []
    path.mkdir()  # which can be opened as little as a file on a disk that is away
    known = KnownKeys(tmp_path, tell=told.append)
    assert not known.valid()
    assert not known.look()
    state = path.stat()
    path.rmdir()
    path.write_text(json.dumps({"keys": [GOOD]}))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert known.look()
    assert [key.name for key in known.valid()] == ["a"]
    assert len(told) == 1, told


@pytest.mark.parametrize("content", [b"", b"[]", b"[" * 200_000, b"\xff\xfe", b"null", b" " * (MAX_BYTES + 1)])
def test_what_is_no_file_of_keys_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "limited-keys.json"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"limited-keys\.json"):
        read(path)


@pytest.mark.parametrize(
    "text", ["", "SU", "SU" + "A" * 56, "su" + "a" * 56, "SA" + "A" * 56, "é" * 58, "U" + "A" * 55]
)
def test_what_is_no_key_has_no_public_half(text: str) -> None:
    assert public_half(text) == ""


def test_names_are_tokens_of_subjects() -> None:
    for name in ("a", "door", "home-assistant_2", "a" * 32):
        assert check_name(name) == name
    for name in ("", "a" * 33, "-a", "a-", "a.b", "a b", "a>", "*", "Door", "ä", "a\n"):
        with pytest.raises(InvalidInput):
            check_name(name)


def message(subject: str, body: bytes, **headers: str) -> StoredMessage:
    return StoredMessage(1, subject, headers, body, time.time_ns(), 0)


def test_what_a_limited_key_says_has_its_origin_and_is_not_believed_about_the_gateway() -> None:
    seals, body = Seals(b"k" * 32), b'{"id":"1"}'
    for origin, believed in ((of_limited_key("door"), False), (OPERATOR, True)):
        seal = seals.seal("agent.events.custom.a", body, origin)
        found = seals.checked(message("agent.events.custom.a", body, **{SEAL: seal}))
        assert (found.origin, found.believed, bool(found.seal)) == (origin, believed, True)
        changed = seals.checked(message("agent.events.custom.a", body, **{SEAL: seal.replace("key:door", "key:doom")}))
        assert changed.seal == ("" if "door" in origin.name else found.seal)


@pytest.mark.parametrize(
    ("body", "is_one"),
    [
        (b'{"stream":"agent_events","seq":12}', True),
        (b'{"stream":"agent_events", "seq":12,"duplicate": true}', True),
        (b'{"stream":"S","domain":"hub","seq":1}', True),
        (
            b'{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"S","seq":0}',
            True,
        ),
        (b' {"seq":1,"stream":"S"}', True),
        (b'{"stream":"S","seq":"1"}', False),
        (b'{"stream":"S","seq":1,"note":"mine"}', False),
        (b'{"stream":"S"}', False),
        (b'"stream" "seq"', False),
        (b'["stream","seq"]', False),
        (b"[" * 900 + b'"stream""seq"', False),
        (b'\xff"stream""seq"', False),
    ],
)
def test_an_acknowledgement_is_no_event(body: bytes, is_one: bool) -> None:
    found = message("agent.events.custom.victim", body)
    found.believed = False
    assert ("acknowledgement" in forgery(found)) is is_one
    found.believed = True
    assert forgery(found) == ""


def test_so_many_patterns_that_the_file_would_not_be_read_again_are_refused(tmp_path: Path) -> None:
    file = KeyFile(tmp_path, write_private)
    with file.changing() as keys:
        keys.append(a_key("one", new_secret()[1]))
    patterns = [f"agent.events.custom.{n:03}{'x' * 220}" for n in range(50)]

    def add_large() -> None:
        with file.changing() as keys:
            for number in range(200):
                keys.append(a_key(f"k{number}", new_secret()[1]))
                keys[-1].publish, keys[-1].read = patterns, patterns

    with pytest.raises(InvalidInput, match="4 MiB"):
        add_large()
    assert [key.name for key in file.read()] == ["one"]


async def test_the_door_reads_no_more_than_there_is_room_for() -> None:
    room = Room()
    for _ in range(8):
        await room.enter(1 << 20)
    waiting = asyncio.create_task(room.enter(1))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    room.leave(1 << 20)
    await asyncio.wait_for(waiting, 1)
    empty = Room()
    await asyncio.wait_for(empty.enter(1 << 30), 1)  # one by itself always has it


@pytest.mark.parametrize("twice", [False, True])
def test_headers_are_read_in_a_time_that_grows_with_their_number(twice: bool) -> None:
    raw = b"".join(b"ce-%d: x\r\n" % number for number in range(40_000)) + (b"ce-39999: y\r\n" if twice else b"")
    began = time.process_time()
    found = SturdyClient._parse_header_lines(raw)
    assert time.process_time() - began < 2
    assert (found.get(TWICE) == "ce-39999") is twice


async def test_headers_that_jetstream_would_not_store_are_not_read() -> None:
    client = SturdyClient()
    large = b"NATS/1.0\r\n" + b"a: b\r\n" * 20_000 + b"\r\n"
    assert await client._process_headers(large) == {OVERSIZE: str(len(large))}
    assert await client._process_headers(b"NATS/1.0\r\na: b\r\n\r\n") == {"a": "b"}
