"""The process that redacts large texts, and all texts by the operator's own patterns (sandbox/child.py)."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from openclaw_nats.outbound.redaction import Redactor
from openclaw_nats.sandbox.child import serve

CPU_SECONDS = 3.0


class Request(msgspec.Struct):
    """JSON data, as text, and what is secret besides the built-in rules."""

    data: str
    patterns: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


_decode = msgspec.json.Decoder(Request).decode
_encode = msgspec.json.Encoder().encode


@lru_cache(maxsize=4)
def _redactor(patterns: tuple[str, ...], keys: tuple[str, ...]) -> Redactor:
    return Redactor(patterns=patterns, keys=keys)


def answer(line: bytes) -> bytes:
    """The redacted JSON, as a JSON text."""
    request = _decode(line)
    return _encode(_redactor(request.patterns, request.keys).redact(request.data.encode()).decode())


def main() -> None:
    """Answer requests until the input ends."""
    serve(answer, CPU_SECONDS)
