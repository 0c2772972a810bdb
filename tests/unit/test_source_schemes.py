"""Each provider's proof, and everything that must not pass (published examples: test_source_vectors.py)."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey
from standardwebhooks import Webhook

from openclaw_nats.contract.sources import GenericOptions, SourceOptions
from openclaw_nats.errors import InvalidInput
from openclaw_nats.events import envelope
from openclaw_nats.sources.making import event_of
from openclaw_nats.sources.naming import subject_of
from openclaw_nats.sources.recipes import recipes_of
from openclaw_nats.sources.schemes.catalog import SCHEMES
from openclaw_nats.sources.schemes.scheme import FORM, Received, Refused, Scheme, Verified
from openclaw_nats.sources.stored import StoredSource

NOW = 1_764_253_200.0
_JSON = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=20))


def _nested(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    names = st.one_of(st.text(max_size=8), st.sampled_from(["type", "event", "action", "status", "object_attributes"]))
    return st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=4))


def _encoded(value: object) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


VERIFIED = [kind for kind in SCHEMES if kind != "unsigned"]
URL = "https://bus.example.org/in/x/token?a=1"
SEED, OTHER_SEED = "11" * 32, "22" * 32
GENERIC = GenericOptions(
    header="X-Sig",
    prefix="v1=",
    signed="{ts}.{body}",
    timestamp_header="X-Time",
    id_header="X-Id",
    event_header="X-Event",
)


def secrets_of(kind: str) -> tuple[str, str]:
    """Two secrets of a type."""
    if kind == "standard":
        return "whsec_" + base64.b64encode(b"a" * 24).decode(), "whsec_" + base64.b64encode(b"b" * 24).decode()
    return (SEED, OTHER_SEED) if kind == "discord" else ("a-secret", "an-older-secret")


def known(kind: str, secret: str) -> str:
    """What the source has of a secret: of Discord's the public half."""
    return SigningKey(bytes.fromhex(secret)).verify_key.encode().hex() if kind == "discord" else secret


def options_of(kind: str) -> SourceOptions:
    if kind == "generic":
        return SourceOptions(generic=GENERIC)
    return SourceOptions(timestamp_header="X-Grafana-Time", url=URL) if kind == "grafana" else SourceOptions(url=URL)


def signed(kind: str, secret: str, now: float = NOW, body: bytes | None = None) -> Received:
    """A request as the provider sends it."""
    scheme = SCHEMES[kind]
    body = scheme.sample.replace(b"NOW_MS", b"%d" % int(now * 1000)) if body is None else body
    headers = {"content-type": "application/json", **scheme.sample_headers}
    headers |= scheme.sign(body, secret, options_of(kind), now, "delivery-1")
    return Received(headers, body, URL, NOW)


def verify(kind: str, received: Received, *secrets: str) -> Verified:
    return SCHEMES[kind].verify(received, [known(kind, one) for one in secrets], options_of(kind))


def refused(kind: str, received: Received, *secrets: str) -> bool:
    try:
        verify(kind, received, *secrets)
    except Refused:
        return True
    return False


def changes(received: Received, scheme: Scheme) -> Iterator[tuple[str, Received]]:
    """The request with one thing changed, that has to cost it its proof."""
    proof = [name for name in received.headers if name not in ("content-type", *scheme.sample_headers)]
    unsigned = {"x-github-delivery", "x-gitlab-event-uuid", "x-shopify-event-id", "linear-delivery", "x-id"}
    for name in [one for one in proof if one not in unsigned]:
        value = received.headers[name]
        others = [
            "",
            value[:-1],
            value + "x",
            value.upper() if value.upper() != value else value.lower(),
            value[::-1],
            "é",
        ]
        if value[-1].isdigit():
            others.append(value[:-1] + str((int(value[-1]) + 1) % 10))
        for other in others:
            if other != value:
                yield (
                    f"{name}: {other[:30]!r}",
                    dataclasses.replace(received, headers={**received.headers, name: other}),
                )
        rest = {key: one for key, one in received.headers.items() if key != name}
        yield f"no {name}", dataclasses.replace(received, headers=rest)


@pytest.mark.parametrize("kind", VERIFIED)
def test_what_the_provider_signs_passes_with_either_secret(kind: str) -> None:
    first, second = secrets_of(kind)
    for secret in (first, second):
        found = verify(kind, signed(kind, secret), first, second)
        assert found.answer is None
    assert refused(kind, signed(kind, second), first)
    assert refused(kind, signed(kind, first))  # without any secret nothing passes


# Whose proof is a token, which says nothing of the body.
TOKENS = ("gitlab", "cloudevents", "alertmanager", "uptime-kuma", "healthchecks", "home-assistant", "n8n", "token")


@pytest.mark.parametrize("kind", VERIFIED)
def test_nothing_else_passes(kind: str) -> None:
    secret, _ = secrets_of(kind)
    good = signed(kind, secret)
    tried = 0
    for what, other in changes(good, SCHEMES[kind]):
        # Hexadecimal digits and the word Bearer may be written in capitals.
        if "Bearer" in what.title() and other.headers.get("authorization", "").partition(" ")[2] == secret:
            continue
        same_digits = kind in ("discord", "generic") and what.startswith(("x-signature-ed25519", "x-sig:"))
        if same_digits and any(
            other.headers.get(name, "").lower() == value.lower() for name, value in good.headers.items()
        ):
            continue
        assert refused(kind, other, secret), what
        tried += 1
    assert tried >= 5
    if kind in TOKENS:
        return
    for body in (b"", good.body + b" ", good.body[:-1], good.body.replace(b"a", b"b", 1), b"\xff", b"[" * 100_000):
        assert refused(kind, dataclasses.replace(good, body=body), secret), body[:30]


FRESH = ("standard", "stripe", "slack", "linear", "discord", "grafana", "generic")


@pytest.mark.parametrize("kind", FRESH)
def test_what_is_old_or_ahead_is_refused(kind: str) -> None:
    secret, _ = secrets_of(kind)
    tolerance = 60 if kind == "linear" else 300
    for seconds, ok in (
        (0, True),
        (tolerance - 2, True),
        (2 - tolerance, True),
        (tolerance + 2, False),
        (-tolerance - 2, False),
    ):
        assert refused(kind, signed(kind, secret, NOW - seconds), secret) is not ok, seconds
    found = verify(kind, signed(kind, secret, NOW - 10), secret)
    assert found.until > NOW - 10 + tolerance + 60  # longer than it verifies: clocks are put right


def test_twilio_signs_json_by_its_digest_in_the_address_and_ports_either_way() -> None:
    scheme, body = SCHEMES["twilio"], b'{"id": "e1"}'
    url = f"https://bus.example.org/in/x?bodySHA256={hashlib.sha256(body).hexdigest()}"
    headers = {**scheme.sign(b"", "s", SourceOptions(url=url), NOW, ""), "content-type": "application/json"}
    scheme.verify(Received(headers, body, url, NOW), ["s"], SourceOptions())
    for wrong in (Received(headers, body + b" ", url), Received(headers, body, url.partition("?")[0])):
        with pytest.raises(Refused):
            scheme.verify(wrong, ["s"], SourceOptions())
    form = {**SCHEMES["twilio"].sample_headers}
    for written, seen in (
        ("https://a.example:443/x", "https://a.example/x"),
        ("https://a.example/x", "https://a.example:443/x"),
    ):
        proof = scheme.sign(scheme.sample, "s", SourceOptions(url=written), NOW, "")
        assert (
            scheme.verify(Received({**form, **proof}, scheme.sample, seen), ["s"], SourceOptions()).event
            == "message.received"
        )


@pytest.mark.parametrize(
    ("kind", "body", "headers", "event"),
    [
        ("github", {"zen": "x"}, {"x-github-event": "ping"}, "ping"),
        ("github", {"action": "closed"}, {"x-github-event": "pull_request"}, "pull_request.closed"),
        (
            "gitlab",
            {"object_attributes": {"action": "merge"}},
            {"x-gitlab-event": "Merge Request Hook"},
            "merge_request.merge",
        ),
        ("gitlab", {}, {"x-gitlab-event": "Push Hook"}, "push"),
        ("stripe", {"type": "charge.refunded"}, {}, "charge.refunded"),
        ("slack", {"type": "event_callback", "event": {"type": "message"}}, {}, "message"),
        ("shopify", {}, {"x-shopify-topic": "products/update"}, "products.update"),
        ("grafana", {"status": "resolved"}, {}, "resolved"),
        ("alertmanager", {"status": "firing"}, {}, "firing"),
        ("uptime-kuma", {"heartbeat": {"status": 1}}, {}, "up"),
        ("healthchecks", {"status": "down"}, {}, "down"),
        (
            "standard",  # GitLab's signed form
            {"object_kind": "issue", "object_attributes": {"action": "open"}},
            {"x-gitlab-event": "Issue Hook"},
            "issue.open",
        ),
        (
            "discord",
            {"type": 1, "application_id": "1", "event": {"type": "ENTITLEMENT_CREATE"}},
            {},
            "entitlement_create",
        ),
        ("token", ["a", "list"], {}, ""),
        ("stripe", {"type": ["no", "text"]}, {}, ""),
    ],
)
def test_what_happened_is_named_as_the_provider_names_it(
    kind: str, body: object, headers: dict[str, str], event: str
) -> None:
    secret, _ = secrets_of(kind)
    received = signed(kind, secret, body=json.dumps(body).encode())
    received = dataclasses.replace(received, headers={**received.headers, **headers})
    assert verify(kind, received, secret).event == event


def test_questions_of_the_provider_are_answered_and_are_no_events() -> None:
    secret, _ = secrets_of("slack")
    body = b'{"type": "url_verification", "challenge": "3eZbrw1a"}'
    assert json.loads(verify("slack", signed("slack", secret, body=body), secret).answer or b"") == {
        "challenge": "3eZbrw1a"
    }
    assert (
        verify("discord", signed("discord", SEED, body=b'{"type": 1, "application_id": "1"}'), SEED).answer
        == b'{"type": 1}'
    )
    assert verify("discord", signed("discord", SEED, body=b'{"type": 0, "application_id": "1"}'), SEED).answer == b""
    assert refused("slack", dataclasses.replace(signed("slack", "other", body=body)), secret)


def test_a_header_of_ones_own_has_the_token_and_no_other_does() -> None:
    options = SourceOptions(header="X-My-Token")
    scheme = SCHEMES["token"]
    scheme.verify(Received({"x-my-token": "t"}, b"{}"), ["t"], options)
    for headers in ({"authorization": "Bearer t"}, {"x-my-token": "Bearer t"}, {}):
        with pytest.raises(Refused):
            scheme.verify(Received(headers, b"{}"), ["t"], options)
    basic = base64.b64encode(b"anybody:t").decode()
    scheme.verify(Received({"authorization": f"Basic {basic}"}, b"{}"), ["t"], SourceOptions())
    for wrong in ("Basic t", "Basic " + base64.b64encode(b"t:x").decode(), "Basic \xff", "Bearer", "t"):
        with pytest.raises(Refused):
            scheme.verify(Received({"authorization": wrong}, b"{}"), ["t"], SourceOptions())


@pytest.mark.parametrize(
    ("event", "subject"),
    [
        ("issues.opened", "b.issues.opened"),
        ("", "b.received"),
        ("...", "b.received"),
        ("orders/create", "b.orders.create"),
        ("a b", "b.a.b"),
        ("*.>", "b._._"),
        ("x" * 100, "b." + "x" * 64),
        ("a.b.c.d.e.f.g.h", "b.a.b.c.d.e.f"),
        ("ü\n", "b._"),
    ],
)
def test_a_name_becomes_tokens_whatever_is_in_it(event: str, subject: str) -> None:
    assert subject_of("b", event) == subject


def test_every_type_says_where_its_address_goes_and_has_a_recipe() -> None:
    for kind, scheme in SCHEMES.items():
        assert "address" in scheme.paste
        assert recipes_of(kind)


@pytest.mark.parametrize("kind", VERIFIED)
@given(
    body=st.binary(max_size=200),
    headers=st.dictionaries(
        st.sampled_from(
            [
                *(
                    "authorization",
                    "content-type",
                    "stripe-signature",
                    "webhook-id",
                    "webhook-timestamp",
                    "webhook-signature",
                ),
                *(
                    "x-hub-signature-256",
                    "x-slack-signature",
                    "x-slack-request-timestamp",
                    "x-gitlab-token",
                    "x-sig",
                    "x-time",
                ),
                *("x-shopify-hmac-sha256", "linear-signature", "x-twilio-signature", "x-signature-ed25519"),
                *("x-signature-timestamp", "x-grafana-alerting-signature", "x-grafana-time"),
            ]
        ),
        st.one_of(
            st.text(max_size=40), st.sampled_from([FORM, "v1,", "t=1,v1=", "Bearer ", "Basic ", "1764253200", "ü"])
        ),
    ),
    url=st.text(max_size=40),
)
def test_nothing_that_is_made_up_passes_or_breaks(kind: str, body: bytes, headers: dict[str, str], url: str) -> None:
    assert refused(kind, Received(headers, body, url, NOW), secrets_of(kind)[0])


@pytest.mark.parametrize("kind", VERIFIED)
@given(body=st.one_of(st.binary(max_size=200), st.recursive(_JSON, _nested, max_leaves=12).map(_encoded)))
def test_whatever_is_signed_is_an_event_or_is_refused_in_words(kind: str, body: bytes) -> None:
    """What stands behind the proof: names, ids and the document are made of it."""
    secret, _ = secrets_of(kind)
    source = StoredSource(
        name="hook",
        type=kind,  # type: ignore[arg-type]
        subject="agent.events.webhook.hook",
        token="t",
        secrets=[],
        made="2026-11-27T00:00:00Z",
        options=SourceOptions(),
    )
    try:
        received = signed(kind, secret, body=body)
        found = verify(kind, received, secret)
        assert len(subject_of(source.subject, found.event)) < 300
        if found.answer is not None or kind == "cloudevents":
            return
        event, document = event_of(source, received, kind, found.event, "hook:1", int(NOW * 1000))
    except (Refused, InvalidInput, UnicodeError):  # a form, or JSON, has to be one
        return
    read = envelope.read(document)[0]
    assert (read.id, read.subject) == (event.id, event.subject)


def _hex(secret: str, *parts: bytes) -> str:
    return hmac.new(secret.encode(), b"".join(parts), hashlib.sha256).hexdigest()


def test_each_signature_is_what_its_specification_says() -> None:
    """Made here by hand, not by what the product signs its samples with."""
    secret, body, ts = "s3cret", b'{"a":1}', str(int(NOW))
    raw = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    key = SigningKey(bytes.fromhex(SEED))
    ms = json.dumps({"webhookTimestamp": int(NOW * 1000)}).encode()
    requests: dict[str, tuple[str, bytes, dict[str, str]]] = {
        "github": (secret, body, {"x-hub-signature-256": f"sha256={_hex(secret, body)}"}),
        "gitlab": (secret, body, {"x-gitlab-token": secret}),
        "stripe": (secret, body, {"stripe-signature": f"t={ts},v0=no,v1={_hex(secret, ts.encode(), b'.', body)}"}),
        "slack": (
            secret,
            body,
            {
                "x-slack-signature": f"v0={_hex(secret, b'v0:', ts.encode(), b':', body)}",
                "x-slack-request-timestamp": ts,
            },
        ),
        "shopify": (secret, body, {"x-shopify-hmac-sha256": base64.b64encode(raw).decode()}),
        "linear": (secret, ms, {"linear-signature": _hex(secret, ms)}),
        "discord": (
            key.verify_key.encode().hex(),
            body,
            {
                "x-signature-ed25519": key.sign(ts.encode() + body).signature.hex(),
                "x-signature-timestamp": ts,
            },
        ),
        "grafana": (
            secret,
            body,
            {"x-grafana-alerting-signature": _hex(secret, ts.encode(), b":", body), "x-grafana-time": ts},
        ),
        "generic": (
            secret,
            body,
            {"x-sig": f"v1={_hex(secret, ts.encode(), b'.', body)}", "x-time": ts},
        ),
    }
    for kind, (known_secret, sent, headers) in requests.items():
        scheme = SCHEMES[kind]
        right = Received({"content-type": "application/json", **headers}, sent, URL, NOW)
        scheme.verify(right, [known_secret], options_of(kind))
        name, proof = next(iter(headers.items()))
        if kind == "gitlab":
            continue
        # The other encoding of the same bytes is no proof.
        for wrong in (
            base64.b64encode(proof.encode()).decode(),
            proof.encode().hex(),
            "" if kind == "discord" else proof.upper(),
        ):
            with pytest.raises(Refused):
                scheme.verify(
                    dataclasses.replace(right, headers={**right.headers, name: wrong}), [known_secret], options_of(kind)
                )
    official = Webhook(standard_secret := "whsec_" + base64.b64encode(b"k" * 24).decode())
    stamp = datetime.fromtimestamp(int(NOW), UTC)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": ts}
    headers["webhook-signature"] = official.sign("msg_1", stamp, body.decode())
    SCHEMES["standard"].verify(Received(headers, body, URL, NOW), [standard_secret], SourceOptions())


def test_one_signature_of_twilio_is_one_delivery_however_its_body_is_written() -> None:
    scheme, form = SCHEMES["twilio"], SCHEMES["twilio"].sample_headers
    url, body = "https://a.example/x", b"MessageSid=SM1&SmsStatus=received&From=%2B1"
    proof = scheme.sign(body, "s", SourceOptions(url=url), NOW, "")
    first = scheme.verify(Received({**form, **proof}, body, url), ["s"], SourceOptions())
    for other in (b"SmsStatus=received&MessageSid=SM1&From=%2B1", b"MessageSid=SM1&&SmsStatus=received&From=%2b1"):
        again = scheme.verify(Received({**form, **proof}, other, url), ["s"], SourceOptions())
        assert (again.signed, again.delivery) == (first.signed, first.delivery)


def test_gitlab_sends_several_events_under_one_uuid() -> None:
    scheme, headers = (
        SCHEMES["gitlab"],
        {"x-gitlab-token": "t", "x-gitlab-event-uuid": "u", "x-gitlab-event": "Push Hook"},
    )
    found = {scheme.verify(Received(headers, body), ["t"], SourceOptions()).delivery for body in (b"{}", b"[]", b"{}")}
    assert len(found) == 2
    keyed = {**headers, "idempotency-key": "k"}
    assert scheme.verify(Received(keyed, b"{}"), ["t"], SourceOptions()).delivery == "k"


@pytest.mark.parametrize("kind", ["cloudevents", "twilio"])
@pytest.mark.parametrize("url", ["http://[/in/x", "http://[::1/in/x", "http://a:99999999/in/x", "//", ""])
def test_an_address_that_is_none_is_no_proof(kind: str, url: str) -> None:
    received = Received({"x-twilio-signature": "x", "content-type": FORM, "authorization": "Bearer no"}, b"a=1", url)
    with pytest.raises((Refused, ValueError)):  # the door takes both for the same
        SCHEMES[kind].verify(received, ["t"], SourceOptions())
