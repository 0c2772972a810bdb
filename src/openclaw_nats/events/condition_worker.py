"""The process that works out expressions which may take long (sandbox/child.py)."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from openclaw_nats.errors import OpenClawNatsError
from openclaw_nats.events import json_text
from openclaw_nats.events.condition_parts import part_that_said_no
from openclaw_nats.events.conditions import Condition, Context, Expression, condition_of, context_of
from openclaw_nats.sandbox.child import serve

CPU_SECONDS = 0.5
KEY_CHARACTERS = 200


class Request(msgspec.Struct):
    """The conditions of a route and its flow key (empty without one), and the event: its document as text, who said it,
    whether its attributes about the Gateway count. `explain` asks which part of a condition said no.
    """

    conditions: list[str]
    key: str
    document: str
    origin: str = "outside"
    believed: bool = True
    explain: bool = False


class Verdict(msgspec.Struct):
    """The flow key, None when a condition does not hold; or what failed. `said_no`, where it was asked for, is the part
    that does not hold, with the event's values.
    """

    key: str | None = None
    error: str = ""
    said_no: str = ""


_decode = msgspec.json.Decoder(Request).decode
_encode = msgspec.json.Encoder().encode


@lru_cache(maxsize=1024)
def _condition(source: str) -> Condition:
    return condition_of(source, "filter")  # the field with no limit of length: it was checked when it was saved


@lru_cache(maxsize=1024)
def _expression(source: str) -> Expression:
    return Expression(source, "flow.key")


@lru_cache(maxsize=1)
def _context(document: str, origin: str, believed: bool) -> Context:
    """What expressions see: of one event for all its routes."""
    return context_of(json_text.values(document.encode()), origin, believed=believed)


def key_text(value: object) -> str:
    """A flow key's value as text; raise TypeError or ValueError for what can't be one."""
    return (value if isinstance(value, str) else _encode(value).decode())[:KEY_CHARACTERS]


def answer(line: bytes) -> bytes:
    """The verdict on one event."""
    request = _decode(line)
    try:
        context = _context(request.document, request.origin, request.believed)
        no = next((one for one in request.conditions if not _condition(one).holds(context)), None)
        if no is not None:
            return _encode(Verdict(said_no=part_that_said_no(no, context) if request.explain else ""))
        return _encode(Verdict(key_text(_expression(request.key).evaluate(context)) if request.key else ""))
    except OpenClawNatsError as error:
        return _encode(Verdict(error=str(error)))
    except MemoryError:
        return _encode(Verdict(error="a condition needed too much memory"))
    except (TypeError, ValueError) as error:
        return _encode(Verdict(error=f"flow.key can't be a key: {str(error)[:200]}"))


def main() -> None:
    """Answer requests until the input ends."""
    serve(answer, CPU_SECONDS)
