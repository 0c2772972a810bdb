"""Bodies that came compressed (`Content-Encoding: gzip`, `deflate`): unpacked piece by piece, never past a limit."""

from __future__ import annotations

import zlib

from openclaw_nats.api.problems import Malformed
from openclaw_nats.errors import OpenClawNatsError, TooLarge

ACCEPTED = "gzip, deflate, identity"
_GZIP = 16 + zlib.MAX_WBITS
_PIECE = 256 * 1024
_MAX_MEMBERS = 64  # each costs a copy of what is left


class UnsupportedMediaType(OpenClawNatsError):
    """The content type, or its encoding, is not one that the endpoint reads."""


class Unpacker:
    """Takes a body's pieces and yields it unpacked; without an encoding it passes them on as they are."""

    def __init__(self, encoding: str, limit: int) -> None:
        self._encoding = _encoding_of(encoding)
        self._limit = limit
        self._size = self._packed = self._members = 0
        self._stream = _decompressor(self._encoding, b"") if self._encoding == "gzip" else None
        self._began = False

    def feed(self, data: bytes) -> bytes:
        """The next piece, unpacked; raise TooLarge once there are more than `limit` bytes, Malformed for garbage."""
        if not self._encoding:
            return self._counted(data)
        self._packed += len(data)
        if self._packed > self._limit:  # compressed data without end that unpacks to nothing
            raise TooLarge(f"the body is longer than {self._limit} bytes")
        parts: list[bytes] = []
        while data:
            if self._stream is None:
                self._stream = _decompressor(self._encoding, data)
            try:
                part = self._stream.decompress(data, _PIECE)
                parts.append(self._counted(part))
                # A full piece may leave more inside, also when all of `data` was taken.
                while len(part) == _PIECE and not self._stream.unconsumed_tail and not self._stream.eof:
                    part = self._stream.decompress(b"", _PIECE)
                    parts.append(self._counted(part))
            except zlib.error as error:
                raise Malformed(f"the body is not valid {self._encoding}: {error}") from None
            self._began = True
            if self._stream.eof:  # a gzip body may consist of several members (RFC 1952, 2.2)
                data = self._stream.unused_data
                self._members += 1
                if data and (self._encoding != "gzip" or self._members >= _MAX_MEMBERS):
                    raise Malformed("the body continues after its compressed data has ended")
                self._stream = None if data else self._stream
            else:
                data = self._stream.unconsumed_tail
        return b"".join(parts)

    def end(self) -> None:
        """The body is complete; raise Malformed when its compressed data is not."""
        if self._encoding and not (self._began and self._stream is not None and self._stream.eof):
            raise Malformed(f"the body's {self._encoding} data is cut off")

    def _counted(self, data: bytes) -> bytes:
        self._size += len(data)
        if self._size > self._limit:
            raise TooLarge(f"the body is longer than {self._limit} bytes" + (" unpacked" if self._encoding else ""))
        return data


def _encoding_of(given: str) -> str:
    """`gzip`, `deflate`, or empty text for none; raise UnsupportedMediaType for everything else."""
    names = [one.strip().lower().removeprefix("x-") for one in given.split(",")]
    names = [one for one in names if one not in ("", "identity")]
    if not names:
        return ""
    if len(names) > 1 or names[0] not in ("gzip", "deflate"):
        raise UnsupportedMediaType(
            f"content encoding {given[:40]!r} can't be read here", hint=f"Use one of {ACCEPTED}."
        )
    return names[0]


def _decompressor(encoding: str, head: bytes) -> zlib._Decompress:
    """`deflate` is zlib's format (RFC 9110, 8.4.1.2), but some clients send bare data: the first byte shows which."""
    if encoding == "gzip":
        return zlib.decompressobj(_GZIP)
    return zlib.decompressobj(zlib.MAX_WBITS if head[0] & 0x0F == 8 and head[0] >> 4 <= 7 else -zlib.MAX_WBITS)
