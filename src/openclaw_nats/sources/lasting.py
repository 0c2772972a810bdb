"""Signatures without a time of their own: a request that was signed once verifies until the secret is replaced.

They are remembered for as long, as digests that are keyed with the secret itself: nobody without it can make two that
are alike, and those of a secret that counts no more are known as such.
"""

from __future__ import annotations

import hashlib

from openclaw_nats.sources.book import SourceBook
from openclaw_nats.sources.schemes.scheme import Received, Refused, Scheme
from openclaw_nats.sources.stored import StoredSource
from openclaw_nats.storage.source_signatures import Lasting

MOST_REMEMBERED = 500_000  # of one source, beside its deliveries of the last 30 days
_SIGNER_BYTES = 8
_DIGEST_BYTES = 12


def lasting(secret: str, key: str) -> Lasting:
    """A signature by its secret and what was signed."""
    return Lasting(_signer(secret), _digest(secret, key, _DIGEST_BYTES))


def signers(book: SourceBook) -> frozenset[tuple[str, bytes]] | None:
    """Whose signatures verify now, each with its source; None while the sources can't be read."""
    if book.problem:
        return None
    return frozenset((source.name, _signer(one)) for source in book.every() for one in book.secrets_of(source))


def signed_by(scheme: Scheme, received: Received, secrets: list[str], source: StoredSource) -> str:
    """With which of the secrets that count a verified request is signed."""
    for one in secrets[:-1]:
        try:
            scheme.verify(received, [one], source.options)
        except (Refused, ValueError):
            continue
        return one
    return secrets[-1]


def _signer(secret: str) -> bytes:
    return _digest(secret, "", _SIGNER_BYTES)


def _digest(secret: str, text: str, size: int) -> bytes:
    key = hashlib.sha256(secret.encode()).digest()
    return hashlib.blake2b(text.encode(), key=key, digest_size=size).digest()
