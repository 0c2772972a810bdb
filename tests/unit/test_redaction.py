"""Secrets are masked, ordinary data is left alone to the byte."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openclaw_nats.errors import InvalidEvent
from openclaw_nats.outbound.redaction import _KEY_WORDS, _VALUE_PATTERNS, MASK, Redactor, _suspicious
from openclaw_nats.outbound.redaction_process import RedactionProcess

REDACTOR = Redactor()


@pytest.mark.parametrize(
    "secret",
    [
        "sk-" + "a1B2c3D4e5F6g7H8",
        "ghp_" + "a" * 36,
        "github_pat_" + "a" * 22,
        "glpat-" + "a" * 20,
        "AKIA" + "ABCDEFGHIJKLMNOP",
        "xoxb-" + "1234567890-abc",
        "AIza" + "a" * 35,
        "sk_live_" + "a" * 24,
        "npm_" + "a" * 36,
        "123456789:" + "A" * 35,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlMTIz",
        "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----",
        "Authorization: Bearer abcdefghijklmnop",
        "password=hunter22",
        "https://user:hunter22@example.org/",
    ],
)
def test_known_credentials_are_masked_wherever_they_stand(secret: str) -> None:
    for data in ({"text": f"before {secret} after"}, [{"deep": [secret]}], secret):
        masked = REDACTOR.redact(json.dumps(data).encode()).decode()
        assert MASK in masked
        for part in ("hunter22", "a1B2c3D4", "aaaaaaaa", "MIIE", "c2lnbmF0", "abcdefghijklmnop", "1234567890-abc"):
            assert part not in masked


@pytest.mark.parametrize(
    "key", ["password", "apiKey", "api_key", "X-Api-Key", "client_secret", "Authorization", "botToken"]
)
def test_fields_with_a_secret_name_are_masked(key: str) -> None:
    assert json.loads(REDACTOR.redact(json.dumps({"a": {key: "anything"}}).encode())) == {"a": {key: MASK}}
    assert json.loads(REDACTOR.redact(json.dumps({key: ["x", 1]}).encode())) == {key: [MASK, 1]}


def test_an_escaped_secret_is_found_too() -> None:
    assert MASK in REDACTOR.redact(b'{"text":"\\u0073k-a1B2c3D4e5F6g7H8"}').decode()
    assert MASK in REDACTOR.redact(b'{"p\\u0061ssword":"x"}').decode()


@pytest.mark.parametrize(
    "data",
    [
        b'{"totalTokens": 12, "maxTokens":4}',
        b'{"key":"C major"}',
        b'{"token":12}',
        b"null",
        b"{}",
        b'{ "a" : 1 }',
        b'"text"',
    ],
)
def test_ordinary_data_is_returned_to_the_byte(data: bytes) -> None:
    assert REDACTOR.redact(data) is data


@pytest.mark.parametrize("pattern", _VALUE_PATTERNS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_rule_matches_what_the_quick_look_lets_pass(pattern: str, data: st.DataObject) -> None:
    text = data.draw(st.from_regex(pattern, fullmatch=True) if "(?<=" not in pattern else st.just("a://b:c@d"))
    if not all(32 <= ord(character) < 127 for character in text):
        return
    assert _suspicious(json.dumps({"text": text}).encode())


@pytest.mark.parametrize("key", _KEY_WORDS)
def test_no_secret_name_passes_the_quick_look(key: str) -> None:
    assert _suspicious(json.dumps({key.upper(): "x"}).encode())


def test_the_operators_own_patterns_and_keys_count() -> None:
    own = Redactor(patterns=(r"ACME-\d{4}",), keys=("licensePlate",))
    masked = json.loads(own.redact(b'{"a":"ACME-1234","license_plate":"AB-12","b":"ACME"}'))
    assert masked == {"a": MASK, "license_plate": MASK, "b": "ACME"}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=30),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
        max_leaves=10,
    )
)
def test_the_shape_of_data_never_changes(data: Any) -> None:
    masked = json.loads(REDACTOR.redact(json.dumps(data).encode()))
    assert _shape(masked) == _shape(data)


def _shape(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _shape(value) for key, value in data.items()}
    return [_shape(item) for item in data] if isinstance(data, list) else type(data).__name__


# What each rule begins to match, again and again, without ever matching to the end.
_NEARLY = (
    "eyJaaaaaaaa-", "eyJaaaaaaaa.", "eyJ", "eyJaaaaaaaaa.eyJ", "a-eyJaaaaaaaa_", "sk-", "sk-aaa ", "ghp_a",
    "github_pat_a",
    "glpat-", "AKIA", "AKIAA", "xoxb-", "AIza", "sk_live_", "npm_", "123456789:A", "12345678", "-----BEGIN ",
    "-----BEGIN A", "-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY----------END ", "bearer ", "bearer \t",
    "basic a ", "password ", "password=", "password=a ",
    "password: \t", "api-key", "://", "://a:", "://a:b", "a:b@", "://a@",
    " ", "=", "a",
)  # fmt: skip


@pytest.mark.parametrize("unit", _NEARLY)
def test_no_rule_takes_more_time_than_the_text_is_long(unit: str) -> None:
    def seconds(size: int) -> float:
        data = json.dumps({"password": 1, "text": unit * (size // len(unit))}).encode()
        began = time.process_time()
        REDACTOR.redact(data)
        return time.process_time() - began

    seconds(1 << 10)
    small = max(min(seconds(1 << 13) for _ in range(3)), 0.001)
    assert seconds(1 << 16) < 24 * small  # 8 times the text: its square would be 64 times


def test_redaction_keeps_numbers_as_they_are_written_and_goes_to_any_depth() -> None:
    secret = '"password":"hunter22"'
    assert REDACTOR.redact(f'{{"n":[1e400, -0,1.50],{secret}}}'.encode()) == (
        b'{"n":[1e400, -0,1.50],"password":"[redacted]"}'
    )
    deep = "[" * 5000 + f"{{{secret}}}" + "]" * 5000
    assert REDACTOR.redact(deep.encode()) == deep.replace("hunter22", MASK).encode()
    mixed = b'{"tokens":["a",{"b":"c","d":["e"]},["f"],"g"],"token":{"h":"i"},"j":"k"}'
    assert REDACTOR.redact(mixed) == (
        b'{"tokens":["[redacted]",{"b":"c","d":["e"]},["f"],"[redacted]"],"token":{"h":"i"},"j":"k"}'
    )


async def test_a_large_text_is_redacted_outside_of_the_event_loop() -> None:
    process = RedactionProcess(Redactor())
    try:
        data = json.dumps({"text": "eyJaaaaaaaa-" * 80_000, "password": "hunter22"}).encode()
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.005)
                ticks += 1

        await process.redact(b'{"password":"' + b"x" * 40_000 + b'"}')  # the process runs
        ticking = asyncio.create_task(tick())
        began = time.monotonic()
        masked = await process.redact(data)
        took = time.monotonic() - began
        ticking.cancel()
        assert masked == data.replace(b"hunter22", MASK.encode())
        assert took < 30
        assert ticks >= 10  # in the loop it would be one or none, on a busy machine they are fewer than took / 0.005
    finally:
        await process.close()


def test_the_operators_patterns_may_have_flags_names_and_numbers_of_their_own() -> None:
    own = Redactor(patterns=(r"(?i)acme-\d+", r"(?P<a>x)-\d(?P=a)", r"(?P<a>y)-\d\1"))
    text = "ACME-12 x-1x y-2y password=hunter22"
    assert json.loads(own.redact(json.dumps({"t": text}).encode())) == {"t": f"{MASK} {MASK} {MASK} {MASK}"}


async def test_a_pattern_of_the_operators_that_never_ends_costs_its_event_only(monkeypatch: pytest.MonkeyPatch) -> None:
    # The process counts its own time; how long it takes beside that depends on what else this machine does.
    monkeypatch.setattr("openclaw_nats.sandbox.process.WALL_SECONDS", 60.0)
    process = RedactionProcess(Redactor(patterns=(r"(a+)+b", r"ACME-\d+")))
    try:
        with pytest.raises(InvalidEvent, match=r"(took too long|was stopped).*redaction\.patterns"):
            await process.redact(json.dumps({"text": "a" * 50}).encode())
        assert await process.redact(b'{"text":"ACME-12"}') == b'{"text":"[redacted]"}'
        plain = b'{"text":"nothing"}'
        assert await process.redact(plain) is plain
    finally:
        await process.close()
