"""Shopify (shopify.dev, "Verify webhook deliveries"): X-Shopify-Hmac-SHA256, base64, over the body."""

from __future__ import annotations

import base64

from openclaw_nats.contract.sources import SourceOptions
from openclaw_nats.sources.schemes.scheme import Received, Scheme, Verified, check_signature, digest_of, hmac_of


def verify(received: Received, secrets: list[str], options: SourceOptions) -> Verified:
    """See Scheme."""
    expected = [base64.b64encode(hmac_of("sha256", one.encode(), received.body)) for one in secrets]
    check_signature([received.header("X-Shopify-Hmac-SHA256")], expected)
    event = received.headers.get("x-shopify-topic", "").replace("/", ".")
    delivery = received.headers.get("x-shopify-event-id", "") or received.headers.get("x-shopify-webhook-id", "")
    delivery = f"{event} {delivery}" if delivery else ""  # one act of a merchant may be about several topics
    # The topic is not signed: one body may be several topics' for a while, not whatever somebody says years later.
    return Verified(event, delivery, digest_of(event.encode(), received.body), shared=digest_of(received.body))


def sign(body: bytes, secret: str, options: SourceOptions, now: float, delivery: str) -> dict[str, str]:
    """See Scheme."""
    made = base64.b64encode(hmac_of("sha256", secret.encode(), body)).decode()
    return {"x-shopify-hmac-sha256": made, "x-shopify-event-id": delivery}


SCHEME = Scheme(
    "shopify",
    verify,
    sign,
    "In the admin: Settings, Notifications, Webhooks, Create webhook. Format: JSON. URL: the address. The secret "
    "is shown "
    "below the list.",
    seconds=4.5,
    sample=b'{"id": 1, "total_price": "10.00", "note": "NONCE"}',
    sample_headers={"x-shopify-topic": "orders/create"},
)
