"""Reading a tar of our own, which somebody else may have made: headers are checked, nothing is believed.

Not `tarfile`: that follows links, names in extended headers, sparse maps and devices, each of which once led out of
the folder. A backup has plain files alone, so the reader knows nothing else: one header block, one name, the bytes.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from openclaw_nats.errors import InvalidBackup

BLOCK = 512
_CHUNK = 1 << 18
_MAX_EXTENDED = 4096
_TRAILER = 1 << 16  # zero bytes after the end that tar programs add, at most
# What older backups say in extended headers of the files that they were made of: nothing that matters here.
_HARMLESS = frozenset({b"mtime", b"atime", b"ctime", b"uid", b"gid", b"uname", b"gname"})


class Unpacked:
    """The bytes of one gzip file, never more than are asked for: what a few KiB unpack to may be terabytes."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._stream = zlib.decompressobj(wbits=31)  # with gzip's header and sum

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end. Raises InvalidBackup when the file is damaged or goes on there."""
        if size <= 0:
            return b""
        try:
            while not self._stream.eof:
                packed = self._stream.unconsumed_tail or self._source.read(_CHUNK)
                found = self._stream.decompress(packed, size)
                if found:
                    return found
                if not packed:
                    raise InvalidBackup("it ends too early", hint="Is the copy complete?")
        except zlib.error as error:
            raise InvalidBackup(f"it can't be unpacked ({error})", hint="Is the copy complete?") from None
        if self._stream.unused_data or self._source.read(1):
            raise InvalidBackup("something stands behind its end")
        return b""


@dataclass(frozen=True)
class Member:
    """A file in the archive; its bytes have to be read before the next member is asked for."""

    name: str
    size: int


class TarReader:
    """Reads one archive from front to back. Every method raises InvalidBackup for what is not as it should be.

    `seconds` is how long all of it may take: an archive of a few KiB can unpack to terabytes.
    """

    def __init__(self, source: Unpacked, seconds: float) -> None:
        self._source = source
        self._deadline = time.monotonic() + seconds
        self._left = 0
        self._padding = 0

    def members(self) -> Iterator[Member]:
        """Every file, in order."""
        size: int | None = None
        while True:
            self._skip_padding()
            header = self._exactly(BLOCK)
            if header == bytes(BLOCK):
                self._check_end()
                return
            member, kind = _parsed(header)
            if kind == b"x":
                size = self._extended(member.size)
                continue
            if kind not in (b"0", b"\0"):
                raise InvalidBackup(f"it holds {member.name[:80]!r}, which is not a regular file")
            if size is not None:
                member, size = Member(member.name, size), None
            self._left, self._padding = member.size, -member.size % BLOCK
            yield member

    def content(self) -> Iterator[bytes]:
        """The bytes of the present member, in pieces."""
        while self._left:
            piece = self._read(min(self._left, _CHUNK))
            if not piece:
                raise InvalidBackup("it ends too early", hint="Is the copy complete?")
            self._left -= len(piece)
            yield piece

    def _extended(self, size: int) -> int | None:
        """An extended header: what it may say without naming another file; a size beyond 8 GiB, if it has one."""
        if size > _MAX_EXTENDED:
            raise InvalidBackup("it holds an extended header that is too large")
        text, found = self._exactly(size), None
        self._padding = -size % BLOCK
        while text:
            number, _, _ = text.partition(b" ")
            length = int(number) if number.isdigit() and len(number) < 6 else 0
            key, equals, value = text[len(number) + 1 : length - 1].partition(b"=")
            if not 0 < length <= len(text) or text[length - 1 : length] != b"\n" or not equals:
                raise InvalidBackup("it holds an extended header that can't be read")
            if key == b"size" and value.isdigit() and len(value) < 19:
                found = int(value)
            elif key not in _HARMLESS:
                raise InvalidBackup(
                    f"it holds an extended header that no backup has ({key[:40].decode('ascii', 'replace')})"
                )
            text = text[length:]
        return found

    def _check_end(self) -> None:
        left = _TRAILER
        while piece := self._read(min(left, _CHUNK) + 1):
            left -= len(piece)
            if left < 0 or piece.strip(b"\0"):
                raise InvalidBackup("something stands behind its end")

    def _skip_padding(self) -> None:
        if self._left:
            raise InvalidBackup("a part was not read")  # a mistake of the caller's
        if self._exactly(self._padding).strip(b"\0"):
            raise InvalidBackup("something stands between its parts")
        self._padding = 0

    def _exactly(self, size: int) -> bytes:
        found = bytearray()
        while len(found) < size:
            piece = self._read(size - len(found))
            if not piece:
                raise InvalidBackup("it ends too early", hint="Is the copy complete?")
            found += piece
        return bytes(found)

    def _read(self, size: int) -> bytes:
        if time.monotonic() > self._deadline:
            raise InvalidBackup("unpacking it takes longer than a file of its size should")
        return self._source.read(size)


def _parsed(header: bytes) -> tuple[Member, bytes]:
    """(name and size, type) of a header block (POSIX ustar)."""
    total = sum(header) - sum(header[148:156]) + 8 * ord(" ")
    if _octal(header[148:156]) != total:
        raise InvalidBackup("it is not a tar archive, or it is damaged", hint="Is the copy complete?")
    if header[345:500].strip(b"\0") and header[257:262] == b"ustar":
        raise InvalidBackup("it holds a file in a folder, which a backup never does")
    name = header[:100].split(b"\0")[0]
    kind = header[156:157]
    if kind == b"x":
        return Member("", _octal(header[124:136])), kind
    try:
        return Member(name.decode("ascii"), _octal(header[124:136])), kind
    except UnicodeDecodeError:
        raise InvalidBackup("it holds a file with a name that no backup has") from None


def _octal(field: bytes) -> int:
    digits = field.strip(b" \0")
    if not digits or digits.strip(b"01234567"):
        raise InvalidBackup("it is not a tar archive, or it is damaged", hint="Is the copy complete?")
    return int(digits, 8)
