"""Slack (docs.slack.dev, "Verifying requests from Slack"): v0 over version, timestamp and body; its challenge."""

from __future__ import annotations

import json

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


def verify(received: Received, secrets: list[str], options: SourceOptions) -> Verified:
    """See Scheme."""
    stamp = received.header("X-Slack-Request-Timestamp")
    signed = f"v0:{stamp}:".encode("utf-8", "surrogatepass")
    expected = ["v0=" + hmac_of("sha256", one.encode(), signed, received.body).hex() for one in secrets]
    check_signature([received.header("X-Slack-Signature")], expected)
    until = fresh(received, stamp)
    seen = digest_of(signed, received.body)
    kind = received.text("type")
    if kind == "url_verification":
        return Verified(answer=json.dumps({"challenge": received.text("challenge")}).encode())
    if kind == "event_callback":
        return Verified(received.text("event", "type"), received.text("event_id"), seen, until)
    if received.text("command"):
        return Verified("command", received.text("trigger_id"), seen, until)
    return Verified(kind, received.text("trigger_id"), seen, until)  # buttons, shortcuts, views


def reply(verified: Verified) -> tuple[int, bytes, str]:
    """200 and nothing: what a body says is shown to the user of a command, and taken for an error by a view."""
    return 200, b"", "text/plain"


def sign(body: bytes, secret: str, options: SourceOptions, now: float, delivery: str) -> dict[str, str]:
    """See Scheme; the id is in the body."""
    stamp = str(int(now))
    made = hmac_of("sha256", secret.encode(), f"v0:{stamp}:".encode(), body).hex()
    return {"x-slack-request-timestamp": stamp, "x-slack-signature": f"v0={made}"}


SCHEME = Scheme(
    "slack",
    verify,
    sign,
    "At api.slack.com/apps, in your app: Event Subscriptions, Request URL: the address. The secret is the "
    "Signing Secret "
    "under Basic Information.",
    seconds=2.5,
    reply=reply,
    sample=b'{"type": "event_callback", "event_id": "EvNONCE", "event": {"type": "app_mention", "text": "hello"}}',
)
