"""Examples that providers publish whole (secret, body and signature), and the right bytes in the wrong encoding."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest
from nacl.signing import SigningKey

from openclaw_nats.contract.sources import GenericOptions, SourceOptions
from openclaw_nats.sources.schemes.catalog import SCHEMES
from openclaw_nats.sources.schemes.scheme import FORM, Received, Refused
from tests.unit.test_source_schemes import NOW, SEED, URL, options_of

SLACK = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar"
    b"&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com"
    b"%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121."
    b"803a0bc887a14d10d2c447fce8b6703c"
)
CALL = b"CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212"
SAID = CALL.replace(b"14158675309", b"12349013030")
DIGITS = b"Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234"
OBJECT = b'{"property": "value", "boolean": true}'
OF_OBJECT = "bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
AT = "https://mycompany.com/myapp.php?foo=1&bar=2"
JSON = "application/json"


@pytest.mark.parametrize(
    ("kind", "secret", "now", "headers", "body"),
    [
        (
            "github",
            "It's a Secret to Everybody",
            0.0,
            {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
            b"Hello, World!",
        ),
        (
            "standard",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            1614265330.0,
            {
                "svix-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
                "svix-timestamp": "1614265330",
                "svix-signature": "v1,bm9ldHUjKzFob2VudXRob2VodWUzMjRvdWVvdW9ldQo= v2,MzJsNDk4MzI0K2VvdSMjMTEjQEBAQDE= "
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            },
            b'{"test": 2432232314}',
        ),
        (
            "slack",
            "8f742231b10e8888abcd99yyyzzz85a5",
            1531420618.0,
            {
                "x-slack-request-timestamp": "1531420618",
                "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
                "content-type": FORM,
            },
            SLACK,
        ),
    ],
)
def test_the_example_of_the_documentation_passes_and_nothing_near_it(
    kind: str, secret: str, now: float, headers: dict[str, str], body: bytes
) -> None:
    scheme = SCHEMES[kind]
    found = scheme.verify(Received(headers, body, "", now), [secret], SourceOptions())
    assert found.delivery == {"standard": "msg_p5jXN8AQM9LWM0D4loKWxJek"}.get(kind, found.delivery)
    wrong = [(body + b"\n", secret, now), (body[:-1], secret, now), (body, secret[:-1] + "x", now)]
    if kind != "github":
        wrong += [(body, secret, now + 301), (body, secret, now - 301)]
    for changed, other, then in wrong:
        with pytest.raises(Refused):
            scheme.verify(Received(headers, changed, "", then), [other], SourceOptions())


@pytest.mark.parametrize(
    ("signature", "url", "body", "kind"),
    [
        ("0/KCTR6DLpKmkAf8muzZqo1nDgQ=", AT, SAID, FORM),  # of the documentation; the others are of its libraries
        ("RSOYDt4T1cUTdK1PDd93/VVr8B8=", AT, CALL, FORM),
        ("RSOYDt4T1cUTdK1PDd93/VVr8B8=", AT.replace(".com", ".com:1234"), CALL, FORM),
        ("Zmvh+3yNM1Phv2jhDCwEM3q5ebU=", AT.replace(".com", ".com:1234").replace("https", "http"), CALL, FORM),
        ("kvajT1Ptam85bY51eRf/AJRuM3w=", AT, CALL, FORM),  # signed with :443
        ("0ZXoZLH/DfblKGATFgpif+LLRf4=", AT.replace("https", "http"), CALL, FORM),  # signed with :80
        ("IK+Dwps556ElfBT0I3Rgjkr1wJU=", AT, DIGITS, FORM),
        ("a9nBmqA0ju/hNViExpshrM61xv4=", f"{AT}&{OF_OBJECT}", OBJECT, JSON),
        ("y77kIzt2vzLz71DgmJGsen2scGs=", f"{AT.partition('?')[0]}?{OF_OBJECT}", OBJECT, JSON),
    ],
)
def test_twilio_signs_as_its_documentation_and_libraries_say(signature: str, url: str, body: bytes, kind: str) -> None:
    def verify(signature: str, url: str, body: bytes, token: str = "12345") -> None:  # noqa: S107
        received = Received({"x-twilio-signature": signature, "content-type": kind}, body, url, NOW)
        SCHEMES["twilio"].verify(received, [token], SourceOptions())

    verify(signature, url, body)
    for wrong in (
        ("95+Bu0JVPi0r/SsESZCVf0dWAjw=", url, body),
        (signature, url.replace("myapp", "other"), body),
        (signature, url.replace("mycompany", "yours"), body),
        (signature, url, body.replace(b"1", b"2").replace(b"true", b"false")),
        (signature, url, body, "12346"),
    ):
        with pytest.raises(Refused):
            verify(*wrong)


def test_the_right_bytes_in_another_encoding_are_no_proof() -> None:
    """Hexadecimal digits where base64 belongs, the other way round, in capitals, without padding, url-safe."""
    secret, ts, body = "s3cret", str(int(NOW)), json.dumps({"webhookTimestamp": int(NOW * 1000), "n": 7}).encode()
    whsec = "whsec_" + base64.b64encode(b"k" * 24).decode()
    key = SigningKey(bytes.fromhex(SEED))
    stamped = {"webhook-id": "m", "webhook-timestamp": ts}

    def mac(*parts: bytes, key: bytes = secret.encode(), digest: str = "sha256") -> bytes:
        return hmac.new(key, b"".join(parts), digest).digest()

    url = f"https://x.example/in?bodySHA256={hashlib.sha256(body).hexdigest()}"
    base64s: dict[str, tuple[str, bytes, str, str, dict[str, str]]] = {
        "shopify": (secret, mac(body), "x-shopify-hmac-sha256", "{}", {}),
        "standard": (whsec, mac(b"m.", ts.encode(), b".", body, key=b"k" * 24), "webhook-signature", "v1,{}", stamped),
        "twilio": (secret, mac(url.encode(), digest="sha1"), "x-twilio-signature", "{}", {}),
    }
    hexes: dict[str, tuple[str, bytes, str, str, dict[str, str]]] = {
        "github": (secret, mac(body), "x-hub-signature-256", "sha256={}", {}),
        "linear": (secret, mac(body), "linear-signature", "{}", {}),
        "stripe": (secret, mac(ts.encode(), b".", body), "stripe-signature", f"t={ts},v1={{}}", {}),
        "grafana": (
            secret,
            mac(ts.encode(), b":", body),
            "x-grafana-alerting-signature",
            "{}",
            {"x-grafana-time": ts},
        ),
        "slack": (
            secret,
            mac(b"v0:", ts.encode(), b":", body),
            "x-slack-signature",
            "v0={}",
            {"x-slack-request-timestamp": ts},
        ),
        "discord": (
            key.verify_key.encode().hex(),
            bytes(key.sign(ts.encode() + body).signature),
            "x-signature-ed25519",
            "{}",
            {"x-signature-timestamp": ts},
        ),
    }
    for kind, (known, raw, header, form, more) in {**base64s, **hexes}.items():
        as_hex, as_base64 = raw.hex(), base64.b64encode(raw).decode()
        right = as_base64 if kind in base64s else as_hex
        wrong = [as_hex if kind in base64s else as_base64, right[:-1], right + "=", raw.decode("latin-1"), f" x{right}"]
        wrong += [right.rstrip("=")] if kind in base64s else [] if kind == "discord" else [as_hex.upper()]
        wrong += [right.replace("+", "-").replace("/", "_")]
        for text in [right, *(one for one in wrong if one != right)]:
            headers = {"content-type": JSON, **more, header: form.format(text)}
            received = Received(headers, body, url if kind == "twilio" else URL, NOW)
            if text == right:
                SCHEMES[kind].verify(received, [known], options_of(kind))
                continue
            with pytest.raises(Refused):
                SCHEMES[kind].verify(received, [known], options_of(kind))


@pytest.mark.parametrize("algorithm", ["sha256", "sha1", "sha512"])
@pytest.mark.parametrize("encoding", ["hex", "base64"])
@pytest.mark.parametrize(("unit", "stamp"), [("seconds", "1764253200"), ("milliseconds", "1764253200000"),
                                             ("rfc3339", "2025-11-27T14:20:00Z"), ("", "")])  # fmt: skip
def test_a_sender_of_its_own_kind_is_described_in_every_form(
    algorithm: str, encoding: str, unit: str, stamp: str
) -> None:
    how = GenericOptions(
        header="X-Sig",
        prefix="v1=",
        algorithm=algorithm,  # type: ignore[arg-type]
        encoding=encoding,  # type: ignore[arg-type]
        signed="{ts}|{body}" if unit else "body",
        timestamp_header="X-Time" if unit else "",
        timestamp_format=unit or "seconds",  # type: ignore[arg-type]
        tolerance=30,
        id_header="X-Id",
    )
    options, body = SourceOptions(generic=how), b'{"type": "paid"}'
    raw = hmac.new(b"s", (f"{stamp}|".encode() if unit else b"") + body, algorithm).digest()
    made = raw.hex() if encoding == "hex" else base64.b64encode(raw).decode()
    headers = {"x-sig": f"v1={made}", "x-time": stamp, "x-id": "7"}
    scheme = SCHEMES["generic"]
    for off, passes in ((0, True), (29, True), (31, not unit), (-31, not unit)):
        received = Received(headers, body, "", NOW + off)
        if passes:
            found = scheme.verify(received, ["s"], options)
            assert (found.event, found.delivery) == ("paid", "7")
            continue
        with pytest.raises(Refused):
            scheme.verify(received, ["s"], options)
    for other in (made, f"v0={made}", "v1=", f"v1={raw.hex() if encoding == 'base64' else base64.b64encode(raw)!r}"):
        with pytest.raises(Refused):
            scheme.verify(Received({**headers, "x-sig": other}, body, "", NOW), ["s"], options)
