"""Making a limited key, and knowing one again.

A key is the seed of an nkey (docs.nats.io, "NKey authentication"): over NATS it signs and is never sent, over HTTP it
is a bearer token. We keep its public half alone.
"""

from __future__ import annotations

import base64
import os
import re
from datetime import UTC, datetime

from openclaw_nats.contract.keys import LimitedKey
from openclaw_nats.errors import InvalidInput
from openclaw_nats.events.subjects import check_pattern
from openclaw_nats.keys.topics import check_topic

NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,30}[a-z0-9])?")
MAX_PATTERNS = 50
_PUBLIC = re.compile(r"U[A-Z2-7]{55}", re.ASCII)
_SEED = re.compile(r"SU[A-Z2-7]{56}", re.ASCII)


def new_secret() -> tuple[str, str]:
    """(the key, its public half)."""
    import nkeys

    seed: str = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER).decode()
    return seed, public_half(seed)


def public_half(secret: str) -> str:
    """The public half of a key; empty for what is no key."""
    import nkeys

    if not _SEED.fullmatch(secret):
        return ""
    try:
        _, seed = nkeys.decode_seed(secret.encode())
        if nkeys.encode_seed(seed, nkeys.PREFIX_BYTE_USER) != secret.encode():  # its check sum
            return ""
        found: str = nkeys.from_seed(bytearray(secret.encode())).public_key.decode()
    except (nkeys.NkeysError, ValueError):
        return ""
    return found


def check_name(name: str) -> str:
    """The name of a key, which the origin of its events is called after; raise InvalidInput."""
    if NAME.fullmatch(name):
        return name
    raise InvalidInput(
        f"a key can't be called {name[:40]!r}",
        hint="Up to 32 of a-z, 0-9, - and _, a letter or digit first and last.",
    )


def check_public(public: str) -> None:
    """Raise InvalidInput for what is no public half of a user's nkey: nats-server would not start with it."""
    import nkeys

    if _PUBLIC.fullmatch(public):
        raw = base64.b32decode(public)
        if raw[0] == nkeys.PREFIX_BYTE_USER and nkeys.crc16(raw[:-2]) == int.from_bytes(raw[-2:], "little"):
            return
    raise InvalidInput("a key has no public half")


def check_patterns(publish: list[str], read: list[str], topics: list[str] | None = None) -> None:
    """Raise InvalidInput unless a key with these patterns, and these topics of MQTT, can be used for something."""
    topics = topics or []
    if not publish and not read and not topics:
        raise InvalidInput("the key may do nothing", hint="Say on which subjects: --publish PATTERN, --read PATTERN.")
    if len(publish) > MAX_PATTERNS or len(read) > MAX_PATTERNS or len(topics) > MAX_PATTERNS:
        raise InvalidInput(f"a key has at most {MAX_PATTERNS} patterns of a kind")
    for pattern in (*publish, *read):
        check_pattern(pattern)
    for topic in topics:
        check_topic(topic)


def is_over(key: LimitedKey, now: float) -> bool:
    """Whether the key has expired at `now` (seconds since the Unix epoch)."""
    return bool(key.expires) and end_of(key) <= now


def end_of(key: LimitedKey) -> float:
    """When the key expires, in seconds since the Unix epoch; infinite without an end."""
    if not key.expires:
        return float("inf")
    return datetime.fromisoformat(key.expires).astimezone(UTC).timestamp()
