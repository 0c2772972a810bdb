"""Reading request bodies: limited in size and time, of a known content type, decoded with an error that helps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from openclaw_nats.api.problems import Malformed
from openclaw_nats.api.unpacking import Unpacker, UnsupportedMediaType
from openclaw_nats.errors import InvalidEvent, TooLarge
from openclaw_nats.events import json_text

T = TypeVar("T")


class TooDeep(Malformed):
    """JSON that is nested without end."""


def media_type(request: Request, allowed: Iterable[str]) -> str:
    """The request's content type without parameters; raise UnsupportedMediaType if it is not among `allowed`."""
    given = request.headers.get("content-type", "")
    found = given.partition(";")[0].strip().lower()
    if found not in allowed:
        raise UnsupportedMediaType(
            f"content type {given[:80]!r} can't be read here", hint="Use " + " or ".join(sorted(allowed)) + "."
        )
    return found


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body, unpacked; raise TooLarge as soon as it is over `limit` bytes (its time: http_protocol)."""
    unpacker = Unpacker(", ".join(request.headers.getlist("content-encoding")), limit)
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise TooLarge(f"the body is {declared} bytes long; the limit is {limit}")
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise TooLarge(f"the body is longer than {limit} bytes")
            chunks.append(unpacker.feed(chunk))
        unpacker.end()
    except ClientDisconnect:
        raise Malformed("the client went away before its body was complete") from None
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def decode_json(decoder: msgspec.json.Decoder[T], body: bytes, *, whole: bool = True) -> T:
    """Decode JSON; raise Malformed for bytes that are no JSON, InvalidEvent for JSON that is too deep or of the wrong
    shape. Half surrogate pairs become U+FFFD. Not `whole`: how deep its parts are, whoever reads them looks at.
    """
    try:
        body.decode()
        if whole:
            json_text.check(body)
        return decoder.decode(json_text.well_formed(body))
    except UnicodeDecodeError as error:
        raise Malformed(f"the body is not valid UTF-8: {error.reason} at byte {error.start}") from None
    except RecursionError:
        raise TooDeep("the body is nested too deeply") from None
    except msgspec.ValidationError as error:
        raise InvalidEvent(str(error)) from None
    except msgspec.DecodeError as error:
        raise Malformed(f"the body is not valid JSON: {error}") from None
