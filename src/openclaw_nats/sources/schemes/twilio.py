"""Twilio (twilio.com/docs/usage/webhooks/webhooks-security): HMAC-SHA1 over the public address and the form's fields.

With JSON the address carries the body's digest (bodySHA256) and the signature is over the address alone.
"""

from __future__ import annotations

import base64
import hashlib
import re
from urllib.parse import parse_qs, urlsplit

from openclaw_nats.contract.sources import SourceOptions
from openclaw_nats.sources.schemes.scheme import FORM, Received, Refused, Scheme, Verified, any_of, digest_of, hmac_of

_PORT = re.compile(r"^(https?://[^/?#]*?):\d+(?=[/?#]|$)")


def verify(received: Received, secrets: list[str], options: SourceOptions) -> Verified:
    """See Scheme."""
    given = received.header("X-Twilio-Signature")
    if received.kind != FORM and received.body:
        claimed = parse_qs(urlsplit(received.url).query).get("bodySHA256", [])
        if len(claimed) != 1 or not any_of([claimed[0].lower()], [hashlib.sha256(received.body).hexdigest()]):
            raise Refused("the digest of the body (bodySHA256) is missing or not right")
    fields = "".join(f"{name}{value}" for name, value in sorted(set(received.form)))
    # Twilio signs some addresses with their port and some without (its own libraries try both).
    urls = {received.url, _PORT.sub(r"\1", received.url), _with_port(received.url)}
    expected = [
        base64.b64encode(hmac_of("sha1", one.encode(), (url + fields).encode("utf-8", "surrogatepass")))
        for one in secrets
        for url in urls
    ]
    if not any_of([given], expected):
        raise Refused("the signature is not right: is the address at Twilio the one that `sources show` names?")
    number = next(
        (value for name in ("MessageSid", "SmsSid", "CallSid") if (value := received.text(name))), received.text("id")
    )
    status = received.text("MessageStatus") or received.text("SmsStatus")
    event = f"message.{status}" if status else f"call.{received.text('CallStatus')}" if number[:2] == "CA" else ""
    # The signature is over the fields in order: one signature is one delivery, however the body is written. Each status
    # of a message is a delivery of its own, and so is each of two events of one call.
    seen = digest_of(given.encode("utf-8", "surrogatepass"))
    delivery = f"{number}.{event}.{seen.hex()[:16]}" if number else ""
    return Verified(event.rstrip("."), delivery, seen)


def reply(verified: Verified) -> tuple[int, bytes, str]:
    """No answer to the sender: an empty TwiML document."""
    return 200, b'<?xml version="1.0" encoding="UTF-8"?><Response/>', "text/xml"


def sign(body: bytes, secret: str, options: SourceOptions, now: float, delivery: str) -> dict[str, str]:
    """See Scheme; for a form, at the address of the options."""
    fields = "".join(f"{name}{value}" for name, value in sorted(set(Received({"content-type": FORM}, body).form)))
    made = hmac_of("sha1", secret.encode(), ((options.url or "") + fields).encode())
    return {"x-twilio-signature": base64.b64encode(made).decode()}


def _with_port(url: str) -> str:
    parts = urlsplit(url)
    if ":" in parts.netloc.rpartition("]")[2]:
        return url
    return url.replace(parts.netloc, f"{parts.netloc}:{443 if parts.scheme == 'https' else 80}", 1)


SCHEME = Scheme(
    "twilio",
    verify,
    sign,
    "In the Console, at the number or service: A message comes in, Webhook: the address, HTTP POST. The secret is the "
    "account's Auth Token.",
    needs_url=True,
    seconds=14.0,
    reply=reply,
    sample=b"MessageSid=SMNONCE&SmsStatus=received&From=%2B15550100&To=%2B15550199&Body=A+sample",
    sample_headers={"content-type": FORM},
    reads_url=True,
    takes=frozenset({"url"}),
)
