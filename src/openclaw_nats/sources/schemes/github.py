"""GitHub (docs.github.com, "Validating webhook deliveries"): X-Hub-Signature-256 over the body."""

from __future__ import annotations

from openclaw_nats.contract.sources import SourceOptions
from openclaw_nats.sources.schemes.scheme import Received, Scheme, Verified, check_signature, digest_of, hmac_of

_SAMPLE = b'{"action": "opened", "issue": {"number": 1, "title": "A sample of openclaw-nats NONCE"}, "repository": {"full_name": "you/sample"}}'  # noqa: E501


def verify(received: Received, secrets: list[str], options: SourceOptions) -> Verified:
    """See Scheme."""
    given = received.header("X-Hub-Signature-256")
    expected = ["sha256=" + hmac_of("sha256", one.encode(), received.body).hex() for one in secrets]
    check_signature([given], expected)
    name, action = received.headers.get("x-github-event", ""), received.text("action")
    event = f"{name}.{action}" if name and action else name
    return Verified(event, received.headers.get("x-github-delivery", ""), digest_of(received.body))


def sign(body: bytes, secret: str, options: SourceOptions, now: float, delivery: str) -> dict[str, str]:
    """See Scheme."""
    made = hmac_of("sha256", secret.encode(), body).hex()
    return {"x-hub-signature-256": f"sha256={made}", "x-github-delivery": delivery}


SCHEME = Scheme(
    "github",
    verify,
    sign,
    "In the repository: Settings, Webhooks, Add webhook. Payload URL: the address. Content type: application/json. "
    "Secret: the secret. Choose the events.",
    makes_secret=True,
    seconds=9.0,
    sample=_SAMPLE,
    sample_headers={"x-github-event": "issues"},
)
