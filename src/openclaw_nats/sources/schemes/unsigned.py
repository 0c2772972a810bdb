"""Senders that prove nothing: only their address is known to them. What comes waits in quarantine."""

from __future__ import annotations

from openclaw_nats.contract.sources import SourceOptions
from openclaw_nats.sources.schemes.scheme import Received, Scheme, Verified


def verify(received: Received, secrets: list[str], options: SourceOptions) -> Verified:
    """See Scheme. Nothing is verified."""
    return Verified()


def sign(body: bytes, secret: str, options: SourceOptions, now: float, delivery: str) -> dict[str, str]:
    """See Scheme. Nothing is signed."""
    return {}


SCHEME = Scheme(
    "unsigned",
    verify,
    sign,
    "Send POST requests to the address. They wait in quarantine until you release them.",
    makes_secret=True,
    sample=b'{"event": "sample", "hello": "NONCE"}',
)
