"""Any sender that signs with an HMAC, in the form that the options describe."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

from openclaw_nats.contract.sources import GenericOptions, SourceOptions
from openclaw_nats.events.envelope import parse_time
from openclaw_nats.sources.schemes.scheme import (
    Received,
    Refused,
    Scheme,
    Verified,
    check_signature,
    digest_of,
    fresh,
    generic_options,
    hmac_of,
)


def verify(received: Received, secrets: list[str], options: SourceOptions) -> Verified:
    """See Scheme."""
    how = generic_options(options)
    stamp = received.header(how.timestamp_header) if how.timestamp_header else ""
    given = received.header(how.header)
    if not given.startswith(how.prefix):
        raise Refused(f"the header {how.header} does not begin with {how.prefix}")
    given = given[len(how.prefix) :]
    given = given.lower() if how.encoding == "hex" else given
    head = _head(how, stamp)
    expected = [_encoded(how, hmac_of(how.algorithm, one.encode(), head, received.body)) for one in secrets]
    check_signature([given], expected)
    until = _fresh(received, how, stamp) if how.timestamp_header else float("inf")
    event = received.headers.get(how.event_header.lower(), "") if how.event_header else received.text("type")
    delivery = received.headers.get(how.id_header.lower(), "") if how.id_header else ""
    return Verified(event, delivery, digest_of(head, received.body), until)


def _head(how: GenericOptions, stamp: str) -> bytes:
    """What stands before the body in what is signed."""
    if how.signed == "body":
        return b""
    return how.signed.removesuffix("{body}").replace("{ts}", stamp).encode("utf-8", "surrogatepass")


def _encoded(how: GenericOptions, made: bytes) -> str:
    return made.hex() if how.encoding == "hex" else base64.b64encode(made).decode()


def _fresh(received: Received, how: GenericOptions, stamp: str) -> float:
    if how.timestamp_format == "rfc3339":
        try:
            stamp = str(int(parse_time(stamp).timestamp()))
        except (ValueError, OverflowError):
            raise Refused("the timestamp is none") from None
    unit = 0.001 if how.timestamp_format == "milliseconds" else 1.0
    return fresh(received, stamp, how.tolerance, unit=unit)


def sign(body: bytes, secret: str, options: SourceOptions, now: float, delivery: str) -> dict[str, str]:
    """See Scheme."""
    how = generic_options(options)
    stamp = {
        "seconds": str(int(now)),
        "milliseconds": str(int(now * 1000)),
        "rfc3339": datetime.fromtimestamp(int(now), UTC).isoformat(),
    }[how.timestamp_format]
    head = _head(how, stamp if how.timestamp_header else "")
    made = _encoded(how, hmac_of(how.algorithm, secret.encode(), head, body))
    headers = {how.header.lower(): how.prefix + made}
    if how.timestamp_header:
        headers[how.timestamp_header.lower()] = stamp
    if how.id_header:
        headers[how.id_header.lower()] = delivery
    return headers


SCHEME = Scheme(
    "generic",
    verify,
    sign,
    "Give the sender the address and the secret; --signature says how it signs.",
    makes_secret=True,
    sample=b'{"type": "sample", "hello": "NONCE"}',
)
