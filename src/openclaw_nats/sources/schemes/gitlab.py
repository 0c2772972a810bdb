"""GitLab (docs.gitlab.com, "Webhooks"): a plain token in X-Gitlab-Token. Its signed form is `standard`."""

from __future__ import annotations

from openclaw_nats.contract.sources import SourceOptions
from openclaw_nats.sources.schemes.scheme import Received, Refused, Scheme, Verified, any_of, digest_of


def verify(received: Received, secrets: list[str], options: SourceOptions) -> Verified:
    """See Scheme."""
    if not any_of([received.header("X-Gitlab-Token")], secrets):
        raise Refused("the token is not right")
    event = event_of(received)
    # The UUID is one for all that a request at GitLab leads to: with the body it is a delivery's. Newer ones send a
    # key.
    delivery = received.headers.get("idempotency-key", "")
    if not delivery and (uuid := received.headers.get("x-gitlab-event-uuid", "")):
        delivery = f"{uuid}.{digest_of(_name(received).encode(), received.body).hex()[:32]}"
    return Verified(event, delivery)


def event_of(received: Received) -> str:
    """What happened, such as `issue.open`."""
    name, action = _name(received), received.text("object_attributes", "action")
    return f"{name}.{action}" if name and action else name


def _name(received: Received) -> str:
    return received.headers.get("x-gitlab-event", "").lower().removesuffix(" hook").replace(" ", "_")


def sign(body: bytes, secret: str, options: SourceOptions, now: float, delivery: str) -> dict[str, str]:
    """See Scheme."""
    return {"x-gitlab-token": secret, "x-gitlab-event-uuid": delivery}


SCHEME = Scheme(
    "gitlab",
    verify,
    sign,
    "In the project: Settings, Webhooks, Add new webhook. URL: the address. Secret token: the secret.",
    makes_secret=True,
    seconds=9.0,
    sample=b'{"object_kind": "issue", "object_attributes": {"action": "open", "iid": 1, "title": "A sample NONCE"}}',
    sample_headers={"x-gitlab-event": "Issue Hook"},
)
