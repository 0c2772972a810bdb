"""Standard Webhooks (standardwebhooks.com), Svix and GitLab's new form: HMAC-SHA256 over id, timestamp and body."""

from __future__ import annotations

import base64
import binascii

from openclaw_nats.contract.sources import SourceOptions
from openclaw_nats.sources.schemes import gitlab
from openclaw_nats.sources.schemes.scheme import (
    Received,
    Scheme,
    Verified,
    check_signature,
    digest_of,
    fresh,
    hmac_of,
)

_PREFIXES = ("webhook", "svix")
_SECRET = "whsec_"  # noqa: S105  (what secrets begin with)


def key_of(secret: str) -> bytes:
    """The bytes of a secret; raise ValueError for what is none."""
    return base64.b64decode(secret.removeprefix(_SECRET), validate=True)


def check_secret(secret: str) -> str:
    """Why a text is no such secret."""
    try:
        size = len(key_of(secret))
    except (binascii.Error, ValueError):
        return "a secret of this type is base64, after whsec_"
    return "" if size >= 16 else "the secret is shorter than 16 bytes"


def verify(received: Received, secrets: list[str], options: SourceOptions) -> Verified:
    """See Scheme."""
    prefix = next((one for one in _PREFIXES if f"{one}-signature" in received.headers), _PREFIXES[0])
    delivery, stamp = received.header(f"{prefix}-id"), received.header(f"{prefix}-timestamp")
    given = [one.partition(",")[2] for one in received.header(f"{prefix}-signature").split(" ") if one[:3] == "v1,"]
    signed = f"{delivery}.{stamp}.".encode("utf-8", "surrogatepass")
    expected = [base64.b64encode(hmac_of("sha256", key_of(one), signed, received.body)) for one in secrets]
    check_signature(given, expected)
    until = fresh(received, stamp)
    event = gitlab.event_of(received) or received.text("type") or received.text("event_type")
    return Verified(event, delivery, digest_of(signed, received.body), until)


def sign(body: bytes, secret: str, options: SourceOptions, now: float, delivery: str) -> dict[str, str]:
    """See Scheme."""
    stamp = str(int(now))
    made = base64.b64encode(hmac_of("sha256", key_of(secret), f"{delivery}.{stamp}.".encode(), body)).decode()
    return {"webhook-id": delivery, "webhook-timestamp": stamp, "webhook-signature": f"v1,{made}"}


SCHEME = Scheme(
    "standard",
    verify,
    sign,
    "Add an endpoint with the address. Its signing secret (whsec_…) is shown there.",
    sample=b'{"type": "invoice.paid", "data": {"id": "NONCE"}}',
    check=check_secret,
)
