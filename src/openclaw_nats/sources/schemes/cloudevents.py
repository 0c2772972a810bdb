"""CloudEvents over HTTP (Knative, Argo Events, Azure Event Grid, Eventarc), each with a bearer token.

The handshake of CloudEvents' "HTTP 1.1 Web Hooks for Event Delivery" 1.0.2 is in the door: it is no delivery.
"""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from openclaw_nats.contract.sources import SourceOptions
from openclaw_nats.sources.file import NO_SECRET
from openclaw_nats.sources.schemes.scheme import Received, Refused, Scheme, Verified, any_of


def verify(received: Received, secrets: list[str], options: SourceOptions) -> Verified:
    """See Scheme. Event and id are in the CloudEvent, which the door reads."""
    if NO_SECRET in secrets:  # whoever knows the address, with its random token, is let in
        return Verified()
    given = parse_qs(urlsplit(received.url).query).get("access_token", [])
    kind, _, value = received.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        given = [*given, value.strip()]
    if len(given) != 1 or not any_of(given, secrets):
        raise Refused("the token is missing or not right")
    return Verified()


def sign(body: bytes, secret: str, options: SourceOptions, now: float, delivery: str) -> dict[str, str]:
    """See Scheme."""
    return {} if secret == NO_SECRET else {"authorization": f"Bearer {secret}"}


SCHEME = Scheme(
    "cloudevents",
    verify,
    sign,
    "Deliver CloudEvents to the address, with the header Authorization: Bearer <the secret>. For a sink that takes no "
    "header, add ?access_token=<the secret> to it, or make the source with --no-secret: then the address alone lets "
    "in.",
    makes_secret=True,
    sample=b'{"specversion": "1.0", "id": "NONCE", "source": "/you", "type": "com.example.done", "data": {"n": 1}}',
    sample_headers={"content-type": "application/cloudevents+json"},
    reads_url=True,
    takes=frozenset({"url"}),
)
