"""Linear (linear.app/developers, "Webhooks"): Linear-Signature over the body, with a timestamp in it."""

from __future__ import annotations

from openclaw_nats.contract.sources import SourceOptions
from openclaw_nats.sources.schemes.scheme import (
    Received,
    Scheme,
    Verified,
    check_signature,
    digest_of,
    fresh,
    hmac_of,
)

_TOLERANCE_SECONDS = 60.0


def verify(received: Received, secrets: list[str], options: SourceOptions) -> Verified:
    """See Scheme."""
    expected = [hmac_of("sha256", one.encode(), received.body).hex() for one in secrets]
    check_signature([received.header("Linear-Signature")], expected)
    until = fresh(received, received.text("webhookTimestamp"), _TOLERANCE_SECONDS, unit=0.001)
    kind, action = received.text("type").lower(), received.text("action")
    event = f"{kind}.{action}" if kind and action else kind
    seen = digest_of(received.body)
    return Verified(event, received.headers.get("linear-delivery", ""), seen, until)


def sign(body: bytes, secret: str, options: SourceOptions, now: float, delivery: str) -> dict[str, str]:
    """See Scheme; the timestamp is in the body."""
    return {"linear-signature": hmac_of("sha256", secret.encode(), body).hex(), "linear-delivery": delivery}


SCHEME = Scheme(
    "linear",
    verify,
    sign,
    "In Linear: Settings, API, Webhooks, New webhook. URL: the address. The signing secret is on its page.",
    seconds=4.5,
    sample=b'{"type": "Issue", "action": "create", "data": {"title": "A sample NONCE"}, "webhookTimestamp": NOW_MS}',
)
