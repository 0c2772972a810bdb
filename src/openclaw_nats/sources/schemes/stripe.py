"""Stripe (docs.stripe.com, "Verify webhook signatures manually"): Stripe-Signature t=, v1= over timestamp and body."""

from __future__ import annotations

from openclaw_nats.contract.sources import SourceOptions
from openclaw_nats.sources.schemes.scheme import (
    Received,
    Refused,
    Scheme,
    Verified,
    check_signature,
    digest_of,
    fresh,
    hmac_of,
)


def verify(received: Received, secrets: list[str], options: SourceOptions) -> Verified:
    """See Scheme. v0 is for tests of Stripe's own and is not looked at."""
    parts = [one.strip().partition("=") for one in received.header("Stripe-Signature").split(",")]
    stamps = [value for name, _, value in parts if name == "t"]
    if len(stamps) != 1:
        raise Refused("the header Stripe-Signature has no timestamp")
    signed = f"{stamps[0]}.".encode("utf-8", "surrogatepass")
    expected = [hmac_of("sha256", one.encode(), signed, received.body).hex() for one in secrets]
    check_signature([value for name, _, value in parts if name == "v1"], expected)
    until = fresh(received, stamps[0])
    return Verified(received.text("type"), received.text("id"), digest_of(signed, received.body), until)


def sign(body: bytes, secret: str, options: SourceOptions, now: float, delivery: str) -> dict[str, str]:
    """See Scheme; the id is in the body."""
    stamp = str(int(now))
    made = hmac_of("sha256", secret.encode(), f"{stamp}.".encode(), body).hex()
    return {"stripe-signature": f"t={stamp},v1={made}"}


SCHEME = Scheme(
    "stripe",
    verify,
    sign,
    "In the Dashboard: Developers, Webhooks, Add destination. Endpoint URL: the address. Its signing secret "
    "(whsec_…) is shown there.",
    sample=b'{"id": "evt_NONCE", "object": "event", "type": "invoice.paid", "data": {"object": {"id": "in_1"}}}',
)
