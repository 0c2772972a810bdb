"""Seals: what a message proves, and that nothing else proves anything."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_nats.events.decoding import decode_message, document_with_origin
from openclaw_nats.events.identity import Identity, event_of
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.origin import GATEWAY, OPERATOR, OUTSIDE, Origin, by_key, joint, of_agent
from openclaw_nats.events.seals import SEAL, Seals

NOW = 1_800_000_000.0
SUBJECT = "agent.events.tool.exec.failed"
BODY = (
    b'{"specversion":"1.0","id":"1","source":"s","type":"t","subject":"agent.events.tool.exec.failed","hops":3,'
    b'"agentid":"main","sessionkey":"agent:main:main"}'
)
TICK = (
    b'{"specversion":"1.0","id":"1","source":"s","type":"t","subject":"agent.events.cron.a",'
    b'"data":{"_cron":{"jobName":"a","scheduledFor":"2027-01-15T08:00:00.000Z","firedAt":"2027-01-15T08:00:00.000Z"}}}'
)
DUE = 1_800_000_000  # 2027-01-15T08:00:00Z


def seals(key: bytes = b"k" * 32) -> Seals:
    return Seals(key, keep=3600.0, clock=lambda: NOW)


def message(
    seal: str | None, body: bytes = BODY, subject: str = SUBJECT, at: float = NOW, **headers: str
) -> StoredMessage:
    found = {**headers} if seal is None else {**headers, SEAL: seal}
    return StoredMessage(7, subject, found, body, int(at * 1e9), 0, believed=False)


@pytest.mark.parametrize(
    "origin", [OPERATOR, GATEWAY, of_agent("main", tainted=False), of_agent("a-b", tainted=True), OUTSIDE]
)
def test_a_seal_says_who_and_which_event_it_is(origin: Origin) -> None:
    one = seals()
    seal = one.seal(SUBJECT, BODY, origin)
    found = one.checked(message(seal))
    assert (found.origin, found.believed) == (origin, True)
    copy = one.checked(dataclasses.replace(message(seal), sequence=99, time=int((NOW + 60) * 1e9)))
    assert event_of(copy) == event_of(found) == found.seal
    assert one.sealed_at(copy) == NOW
    assert Identity(b"k" * 32).seals.checked(message(seal)).origin == origin, "another process with the key"


def test_seals_that_are_stored_already_hold() -> None:
    """Values of 0.2.0 before the key's part was kept: another one would make all that is stored outside."""
    fixed = Seals(b"k" * 32, clock=lambda: 1764300000.5)
    made = fixed.seal("agent.events.custom.é", b'{"n":1}', of_agent("main", tainted=True))
    assert made == "1764300000500.t.2e10bfa99e9dd6b3e999c104fe36e4ab.agent:main"
    assert (fixed.fingerprint, fixed.mark("a", b"b")) == ("a815359826dcc6dd", "e8100e4388cad42c48d20eb52520ebc3")
    assert fixed.is_document("8951dca6a8f7f9b4ae3082e611aba935", "a", b"b")
    assert fixed.fingerprint == "a815359826dcc6dd"  # making one changes nothing for the next


@given(st.integers(0, 400), st.integers(1, 255))
def test_no_byte_can_be_changed(at: int, change: int) -> None:
    one = seals()
    seal = one.seal(SUBJECT, BODY, of_agent("main", tainted=True))
    whole = bytearray(seal.encode() + b"\0" + SUBJECT.encode() + b"\0" + BODY)
    whole[at % len(whole)] ^= change
    parts = bytes(whole).split(b"\0", 2)
    if len(parts) < 3:
        return
    given_seal, subject, body = parts[0].decode("latin-1"), parts[1].decode("latin-1"), parts[2]
    found = one.checked(message(given_seal, body, subject))
    assert (found.origin, found.believed, found.seal) == (OUTSIDE, False, "")


@pytest.mark.parametrize(
    "value", ["", ".", "...", "x.t." + "0" * 32 + ".operator", "é" * 40, "1.u.operator", "\udc80.u.a.b"]
)
def test_what_is_no_seal_is_outside(value: str) -> None:
    assert seals().checked(message(value)).origin == OUTSIDE


def test_another_key_and_other_names_of_the_header_are_outside() -> None:
    seal = seals(b"o" * 32).seal(SUBJECT, BODY, OPERATOR)
    found = seals().checked(message(seal))
    assert not found.believed
    assert seals().is_foreign(found)
    good = seals().seal(SUBJECT, BODY, OPERATOR)
    for name in (SEAL.lower(), SEAL.upper(), f" {SEAL}"):
        found = seals().checked(dataclasses.replace(message(None), headers={name: good}))
        assert (found.origin, found.believed) == (OUTSIDE, False)


def test_a_copy_long_after_is_outside() -> None:
    one = seals()
    seal = one.seal(SUBJECT, BODY, GATEWAY)
    assert one.checked(message(seal, at=NOW + 3599)).believed
    late = one.checked(message(seal, at=NOW + 3601))
    assert (late.origin, late.believed, late.seal) == (OUTSIDE, False, "")


def test_a_tick_counts_from_when_it_is_due() -> None:
    one = seals()
    seal = one.tick("agent.events.cron.a", TICK, OPERATOR)
    for at, believed in ((DUE - 60, False), (DUE, True), (DUE + 3000, True), (DUE + 4000, False)):
        found = one.checked(message(seal, TICK, "agent.events.cron.a", at))
        assert (found.believed, found.origin == OPERATOR) == (believed, believed), at
    assert one.sealed_at(one.checked(message(seal, TICK, "agent.events.cron.a", DUE + 9))) == DUE


def test_what_is_older_than_seals_is_outside_and_taken_as_before() -> None:
    one = seals()
    one.unsealed_until = int(NOW * 1e9)
    before, after = one.checked(message(None, at=NOW - 1)), one.checked(message(None, at=NOW + 1))
    assert (before.believed, before.origin, before.seal) == (True, OUTSIDE, "")
    assert not after.believed
    assert event_of(before) == f"7@{int((NOW - 1) * 1000)}"


def test_a_tick_that_was_armed_before_seals_is_known() -> None:
    one = seals()
    body = TICK.replace(b'"data"', b'"madeby":"agent:main in agent:main:main","data"')
    one.armed = frozenset({one.mark("agent.events.cron.a", TICK), one.mark("agent.events.cron.a", body)})
    fired = {"Nats-Scheduler": "agent.schedules.armed.cron.a.1"}
    assert one.checked(message(None, TICK, "agent.events.cron.a", DUE, **fired)).origin == OPERATOR
    assert one.checked(message(None, body, "agent.events.cron.a", DUE, **fired)).origin == of_agent(
        "main", tainted=True
    )
    assert not one.checked(message(None, TICK, "agent.events.cron.b", DUE, **fired)).believed
    assert not one.checked(message(None, TICK, "agent.events.cron.a", DUE - 60, **fired)).believed


def test_other_headers_of_a_sealed_event_count_for_nothing() -> None:
    one = seals()
    headers = {"content-type": "text/plain", "ce-id": "9", "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"}
    found = one.checked(message(one.seal(SUBJECT, BODY, GATEWAY), **headers))
    decoded, wrong = decode_message(found)
    assert (wrong, decoded.id, decoded.document) == ("", "1", BODY)


def test_what_an_event_says_of_itself_counts_under_a_seal_only() -> None:
    one = seals()
    for seal, session, agent in ((one.seal(SUBJECT, BODY, GATEWAY), "agent:main:main", "main"), (None, "", "")):
        decoded, _ = decode_message(one.checked(message(seal)))
        assert (decoded.sessionkey, decoded.context["agentid"]) == (session, agent)
        assert len(decoded.owners) == (1 if seal else 2)


def test_origins() -> None:
    assert by_key("agent.events.message.received") == GATEWAY
    assert by_key("agent.events.custom.a") == by_key("agent.events.cron.morning") == OPERATOR
    assert of_agent("", tainted=True) == OPERATOR
    assert joint([OPERATOR, OPERATOR]) == OPERATOR
    assert joint([OPERATOR, GATEWAY]) == Origin("outside", tainted=True)
    assert joint([OPERATOR, of_agent("a", tainted=False)]) == Origin("outside", tainted=False)
    assert joint([]) == OUTSIDE


@pytest.mark.parametrize(
    "document",
    [
        b"{}",
        b'{"id":"1"}',
        b'{"openclaworigin":"operator","id":"1","openclawtainted":false}',
        b'{"\\u006fpenclaworigin":"operator","id":"1"}',
    ],
)
def test_a_document_is_shown_with_its_origin_whatever_it_says(document: bytes) -> None:
    shown = msgspec.json.decode(document_with_origin(document, OUTSIDE))
    assert shown["openclaworigin"] == "outside"
    assert shown["openclawtainted"] is True
    assert document_with_origin(document, OUTSIDE).count(b"openclaworigin") == 1
