"""Grafana (grafana.com/docs, "Webhook notifier", HMAC signature): over the body, or over timestamp and body."""

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


def verify(received: Received, secrets: list[str], options: SourceOptions) -> Verified:
    """See Scheme. `timestampHeader` of the options names the header with the timestamp, if Grafana was told to send it.

    Where it is set it has to be there: else whoever has an old request could leave it out.
    """
    given, name = received.header("X-Grafana-Alerting-Signature"), options.timestamp_header
    stamp = received.header(name) if name else ""
    signed = f"{stamp}:".encode("utf-8", "surrogatepass") if name else b""
    expected = [hmac_of("sha256", one.encode(), signed, received.body).hex() for one in secrets]
    check_signature([given], expected)
    until = fresh(received, stamp) if name else float("inf")
    return Verified(received.text("status"), "", digest_of(signed, received.body), until)


def sign(body: bytes, secret: str, options: SourceOptions, now: float, delivery: str) -> dict[str, str]:
    """See Scheme."""
    stamp, name = str(int(now)), options.timestamp_header
    signed = f"{stamp}:".encode() if name else b""
    made = hmac_of("sha256", secret.encode(), signed, body).hex()
    return {"x-grafana-alerting-signature": made, **({name.lower(): stamp} if name else {})}


SCHEME = Scheme(
    "grafana",
    verify,
    sign,
    "In Grafana: Alerting, Contact points, Add contact point, Webhook. URL: the address. HMAC signature, Secret: the "
    "secret. Set a Timestamp header, too, and name it here (--timestamp-header): without one, the same alert sent once "
    "more is a repetition.",
    makes_secret=True,
    takes=frozenset({"timestamp_header"}),
    sample=b'{"status": "firing", "alerts": [{"status": "firing", "labels": {"alertname": "Sample NONCE"}}]}',
)
