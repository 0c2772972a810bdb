"""A gateway.id as one token of a subject, and as the name of a consumer."""

from __future__ import annotations

import hashlib
import re

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,100}")
_PREFIX = "openclaw-nats-"


def token_of(gateway_id: str) -> str:
    """The id itself where NATS takes it; else what is left of it, with a digest, so that `a.b` and `a-b` are two."""
    if _PLAIN.fullmatch(gateway_id):
        return gateway_id
    digest = hashlib.sha256(gateway_id.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{_replaced(gateway_id)[:80]}-{digest}"


def consumer_name(gateway_id: str) -> str:
    """The name of a Gateway's consumer."""
    return _PREFIX + token_of(gateway_id)


def older_consumer_name(gateway_id: str) -> str:
    """The name that its consumer had in 0.1.0 before ids that differ only by signs were distinguished."""
    return _PREFIX + _replaced(gateway_id)


def _replaced(gateway_id: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", gateway_id)
