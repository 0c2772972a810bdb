"""What a sender may write, with the secret or without: it passes rightly, or is refused in words, and in time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from openclaw_nats.contract.sources import SourceOptions
from openclaw_nats.errors import InvalidInput
from openclaw_nats.events import envelope, modes
from openclaw_nats.sources import door
from openclaw_nats.sources.naming import subject_of, type_of
from openclaw_nats.sources.schemes.catalog import SCHEMES
from openclaw_nats.sources.schemes.scheme import FORM, Received, Refused
from openclaw_nats.sources.stored import StoredSource
from tests.unit.test_source_schemes import NOW, URL, VERIFIED, known, options_of, refused, secrets_of, signed

NAMES = [
    *("authorization", "content-type", "idempotency-key", "linear-delivery", "linear-signature", "stripe-signature"),
    *("svix-id", "svix-signature", "svix-timestamp", "webhook-id", "webhook-signature", "webhook-timestamp"),
    *("x-event", "x-github-delivery", "x-github-event", "x-gitlab-event", "x-gitlab-event-uuid", "x-gitlab-token"),
    *("x-grafana-alerting-signature", "x-grafana-time", "x-hub-signature-256", "x-id", "x-shopify-event-id"),
    *("x-shopify-hmac-sha256", "x-shopify-topic", "x-shopify-webhook-id", "x-sig", "x-signature-ed25519"),
    *("x-signature-timestamp", "x-slack-request-timestamp", "x-slack-signature", "x-time", "x-twilio-signature"),
    *("ce-specversion", "ce-id", "ce-source", "ce-type", "ce-time", "ce-subject", "ce-data", "ce-hops", "ce-x"),
]
UNSIGNED = {
    *("content-type", "idempotency-key", "linear-delivery", "x-event", "x-github-delivery", "x-github-event", "x-id"),
    *("x-gitlab-event", "x-gitlab-event-uuid", "x-shopify-event-id", "x-shopify-topic", "x-shopify-webhook-id"),
    *(name for name in NAMES if name.startswith("ce-")),
}
STAMPS = [
    *("", "0", "-1", "+1764253200", " 1764253200", "1764253200.0", "1e9", "0x69285e90", "1_764_253_200", "NaN", "inf"),
    *(
        "".join(chr(0x660 + int(one)) for one in "1764253200"),
        "".join(chr(0xFF10 + int(one)) for one in "1764253200"),
        "\xb2",
        "9" * 16,
        "9" * 5000,
        "1764253200\n",
        "1764253200,1764253200",
    ),
    *("2026-11-27T07:00:00Z", "99999-01-01T00:00:00Z", "2026-13-45T99:99:99+99:99"),
]
TYPES = [
    *("application/json", FORM, f"{FORM}; charset=x", "text/plain", "text/plain; charset=utf-16"),
    *("application/cloudevents+json", "application/cloudevents-batch+json", "application/cloudevents+avro", "/", ";"),
    *(
        "application/json; charset=utf-7",
        "application/xml",
        "text/x; charset=zip",
        "a" * 5000,
        "ÿ/þ",
        'application/json; charset="',
    ),
]
LISTS = st.builds(
    lambda mark, between, number: between.join([mark] * number),
    st.sampled_from(["v1,", "v1=", "v0=", "t=1764253200", "v1,a", "v2,b", "sha256=", "=", ","]),
    st.sampled_from([",", " ", ", ", ";", ""]),
    st.integers(0, 4000),
)
VALUES = (
    st.text(max_size=60)
    | st.text(st.characters(max_codepoint=255), max_size=60)
    | st.sampled_from(STAMPS)
    | LISTS
    | st.sampled_from(["Bearer ", "Basic ", "Basic Og==", "a.*.>..b", "1.0", "x" * 10_000])
)
HEADERS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=12)
MORE = st.dictionaries(st.sampled_from(sorted(UNSIGNED)), VALUES | st.sampled_from(TYPES), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["type", "event", "id", "event_id", "status", "action", "heartbeat", "specversion", "source"]
            )
            | st.text(max_size=5),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)
BODIES = (
    st.binary(max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass"))
    | st.lists(st.tuples(st.text(max_size=6), st.text(max_size=6)), max_size=6).map(
        lambda pairs: "&".join(f"{name}={value}" for name, value in pairs).encode()
    )
)


def source_of(kind: str) -> StoredSource:
    return StoredSource(
        name="hook",
        type=kind,  # type: ignore[arg-type]
        subject="agent.events.webhook.hook",
        token="t",
        secrets=[],
        made="2026-11-27T00:00:00Z",
        options=SourceOptions(),
    )


def events_of(kind: str, received: Received, secret: str) -> list[envelope.Event] | None:
    """What the door makes of a request with a right proof; None for one that it refuses in words."""
    try:
        verified = SCHEMES[kind].verify(received, [known(kind, secret)], options_of(kind))
        if verified.answer is not None:
            return []
        found = door._deliveries(source_of(kind), received, verified)
    except (Refused, InvalidInput):
        return None
    for one in found:
        assert all(len(key) <= 42 for key, _ in door._keys(one.verified, NOW))
        read = envelope.read(one.document)[0]
        assert (read.id, read.subject) == (one.event.id, one.event.subject)
        assert read.subject.startswith("agent.events.webhook.hook.")
        assert read.id.startswith("hook:")
        assert len(read.id) <= 300
    return [one.event for one in found]


def in_time(seconds: float, work: Callable[..., Any], *given: Any) -> Any:
    """Processor time, so that others at work on the machine cost nothing."""
    began = time.process_time()
    found = work(*given)
    assert time.process_time() - began < seconds
    return found


@pytest.mark.parametrize("kind", VERIFIED)
@given(headers=HEADERS, body=BODIES, url=st.text(max_size=40) | st.just(URL))
def test_without_the_secret_nothing_passes_whatever_the_headers_are(
    kind: str, headers: dict[str, str], body: bytes, url: str
) -> None:
    secret, _ = secrets_of(kind)
    assert in_time(1, refused, kind, Received(headers, body, url, NOW), secret)


@pytest.mark.parametrize("kind", VERIFIED)
@given(more=MORE, body=BODIES)
def test_with_the_secret_it_is_an_event_or_is_refused_in_words(kind: str, more: dict[str, str], body: bytes) -> None:
    secret, _ = secrets_of(kind)
    try:
        right = signed(kind, secret, body=body)
    except Refused:  # a form that Twilio could not have signed
        return
    received = Received({**right.headers, **more}, body, URL, NOW)
    in_time(1, events_of, kind, received, secret)


MIB = 1 << 20
LARGE = {
    "nested": b"[" * MIB,
    "nested objects": b'{"a":' * (MIB // 5),
    "nested in a field": b'{"type":' + b"[" * 900_000 + b"}",
    "names with dots": b'{"type":"' + b"a." * 500_000 + b'"}',
    "digits": b'{"type":' + b"9" * 1_000_000 + b"}",
    "names": b"{" + b",".join(b'"k%d":1' % number for number in range(90_000)) + b"}",
    "one name": b"{" + b",".join([b'"k":1'] * 170_000) + b"}",
    "half characters": b'{"type":"' + b"\\ud800" * 170_000 + b'"}',
    "quotes": b'"' * MIB,
    "backslashes": b'"' + b"\\" * (MIB - 1),
    "strings": b"[" + b",".join([b'""'] * 340_000) + b"]",
    "numbers": b"[" + b",".join([b"1"] * 500_000) + b"]",
    "no number": b'{"type":NaN,"a":1e999}',
    "NULs": b"\0" * MIB,
    "no text": b"\xff" * MIB,
    "spaces": b" " * MIB,
    "fields": b"&".join(b"f%d=1" % number for number in range(10_000)),
    "fields of one name": b"&".join(b"a=%d" % number for number in range(999)),
    "escapes": b"a=" + b"%41" * 340_000,
    "nothing": b"&" * MIB,
}


@pytest.mark.parametrize("what", LARGE)
@pytest.mark.parametrize("kind", ["github", "slack", "twilio", "discord", "token", "cloudevents"])
def test_a_large_body_of_any_kind_costs_little(kind: str, what: str) -> None:
    secret, _ = secrets_of(kind)
    for content_type in ("application/json", FORM, "text/plain; charset=utf-16", "application/cloudevents-batch+json"):
        try:
            right = signed(kind, secret, body=LARGE[what])
        except Refused:
            continue
        received = Received({**right.headers, "content-type": content_type}, LARGE[what], URL, NOW)
        in_time(2, events_of, kind, received, secret)


def test_a_name_as_long_as_a_request_costs_no_more_than_its_beginning() -> None:
    for event in ("a." * 500_000, "a " * 500_000, "." * 1_000_000, "é" * 1_000_000):
        assert len(in_time(0.05, subject_of, "b", event)) <= 500
        assert len(in_time(0.05, type_of, "github", event)) <= 200


def test_a_batch_as_long_as_a_request_is_read_in_time() -> None:
    secret, _ = secrets_of("cloudevents")
    one = b'{"specversion":"1.0","id":"%d","source":"/a","type":"t","data":1}'
    for count, expected in ((5000, 5000), (5001, None)):
        body = b"[" + b",".join(one % number for number in range(count)) + b"]"
        headers = {"content-type": modes.BATCH, "authorization": f"Bearer {secret}"}
        found = in_time(2, events_of, "cloudevents", Received(headers, body, URL, NOW), secret)
        assert (None if found is None else len(found)) == expected


@given(st.text(st.characters(codec=None), max_size=30), st.text(st.characters(codec=None), max_size=30))
@example("a\ud800", "a?")
@example("a", "a ")
@example("x" * 300, "x" * 301)
@example("\x9b31m", "x")
def test_two_deliveries_never_have_one_id(one: str, other: str) -> None:
    ids = [door._id(source_of("github"), text) for text in (one, other)]
    assert (ids[0] == ids[1]) == (one == other)
    for number in ids:
        assert number.isprintable()
        msgspec.json.encode(number)
