"""Discord (docs.discord.com, "Interactions" and "Webhook events"): Ed25519 over timestamp and body; its ping."""

from __future__ import annotations

import json
import re

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from openclaw_nats.contract.sources import SourceOptions
from openclaw_nats.sources.schemes.scheme import (
    Received,
    Refused,
    Scheme,
    Verified,
    digest_of,
    fresh,
)

_KEY = re.compile(r"[0-9a-fA-F]{64}")
_INTERACTIONS = {2: "command", 3: "component", 4: "autocomplete", 5: "modal"}


def check_secret(secret: str) -> str:
    """Why a text is no public key of an application."""
    return "" if _KEY.fullmatch(secret) else "a Discord application's public key has 64 hexadecimal digits"


def verify(received: Received, secrets: list[str], options: SourceOptions) -> Verified:
    """See Scheme. The secrets are public keys."""
    stamp, given = received.header("X-Signature-Timestamp"), received.header("X-Signature-Ed25519")
    signed = stamp.encode("utf-8", "surrogatepass") + received.body
    if not any(_is_signed(one, given, signed) for one in secrets):
        raise Refused("the signature is not right")
    until = fresh(received, stamp)
    kind = received.fields.get("type")
    is_interaction = "token" in received.fields or "application_id" in received.fields
    if kind == 1 and "event" not in received.fields:
        return Verified(answer=json.dumps({"type": 1}).encode())  # the ping of interactions: the same back
    if kind == 0:
        return Verified(answer=b"")  # the ping of webhook events: 204
    if received.text("event", "type"):
        event = received.text("event", "type").lower()
    else:
        event = _INTERACTIONS.get(kind, "") if is_interaction and isinstance(kind, int) else ""
    return Verified(event, received.text("id"), digest_of(signed), until)


def reply(verified: Verified) -> tuple[int, bytes, str]:
    """An interaction is acknowledged, and its user sees that something happens; a webhook event just is."""
    answers = {"command": 5, "modal": 5, "component": 6}
    if verified.event == "autocomplete":
        return 200, b'{"type": 8, "data": {"choices": []}}', "application/json"
    if verified.event in answers:
        return 200, json.dumps({"type": answers[verified.event]}).encode(), "application/json"
    return 204, b"", "application/json"


def _is_signed(key: str, given: str, signed: bytes) -> bool:
    try:
        VerifyKey(bytes.fromhex(key)).verify(signed, bytes.fromhex(given))
    except (BadSignatureError, ValueError):
        return False
    return True


def sign(body: bytes, secret: str, options: SourceOptions, now: float, delivery: str) -> dict[str, str]:
    """See Scheme; here the secret is the private key, which only Discord has, and tests."""
    stamp = str(int(now))
    made = SigningKey(bytes.fromhex(secret)).sign(stamp.encode() + body).signature.hex()
    return {"x-signature-timestamp": stamp, "x-signature-ed25519": made}


SCHEME = Scheme(
    "discord",
    verify,
    sign,
    "In the Developer Portal, in your application: Interactions Endpoint URL, or Webhooks, Endpoint URL: the "
    "address. The secret is the application's Public Key.",
    seconds=2.5,
    sample=b'{"id": "1", "type": 2, "token": "t", "application_id": "1", "data": {"name": "sample"}}',
    check=check_secret,
    reply=reply,
)
