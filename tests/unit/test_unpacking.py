"""Compressed bodies: what is unpacked, and what is refused before it takes memory."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest

from openclaw_nats.api.problems import Malformed
from openclaw_nats.api.unpacking import Unpacker, UnsupportedMediaType
from openclaw_nats.errors import TooLarge

TEXT = b'{"subject":"agent.events.custom.a","payload":"' + b"x" * 500 + b'"}'
LIMIT = 1 << 20


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def unpack(encoding: str, data: bytes, limit: int = LIMIT, step: int = 1 << 20) -> bytes:
    unpacker = Unpacker(encoding, limit)
    found = b"".join(unpacker.feed(data[start : start + step]) for start in range(0, len(data), step))
    unpacker.end()
    return found


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("", TEXT),
        ("identity", TEXT),
        ("gzip", gzip.compress(TEXT, mtime=0)),
        ("X-GZIP", gzip.compress(TEXT, mtime=0)),
        (" Gzip , identity", gzip.compress(TEXT, mtime=0)),
        ("gzip", gzip.compress(TEXT[:20], mtime=0) + gzip.compress(TEXT[20:], mtime=0)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", raw_deflate(TEXT)),
    ],
)
def test_a_body_is_the_same_whatever_it_came_as(encoding: str, data: bytes, step: int) -> None:
    assert unpack(encoding, data, step=step) == TEXT


@pytest.mark.parametrize("more", [0, 1, 21, 258, 4096])
@pytest.mark.parametrize("step", [1000, 1 << 20])
def test_a_long_body_is_whole_wherever_a_piece_ends(more: int, step: int) -> None:
    text = b"a" * (2 * 262_144 + more)
    packed = (("deflate", raw_deflate(text)), ("deflate", zlib.compress(text)), ("gzip", gzip.compress(text)))
    for encoding, data in packed:
        unpacker = Unpacker(encoding, 1 << 20)
        parts = [unpacker.feed(data[start : start + step]) for start in range(0, len(data), step)]
        unpacker.end()
        assert b"".join(parts) == text


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "deflate, gzip", "compress", "chunked"])
def test_other_encodings_are_named(encoding: str) -> None:
    with pytest.raises(UnsupportedMediaType, match="can't be read"):
        Unpacker(encoding, LIMIT)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_is_refused_at_the_limit(encoding: str) -> None:
    pack = gzip.compress if encoding == "gzip" else zlib.compress
    with pytest.raises(TooLarge, match="unpacked"):
        unpack(encoding, pack(b"\0" * (16 << 20)), step=1024)
    unpacker, bomb = Unpacker(encoding, LIMIT), pack(b"\0" * (16 << 20))
    tracemalloc.start()
    with pytest.raises(TooLarge):
        unpacker.feed(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20
    assert unpack(encoding, pack(b"\0" * LIMIT)) == b"\0" * LIMIT


def test_data_that_unpacks_to_nothing_is_limited_too() -> None:
    with pytest.raises(Malformed):
        unpack("gzip", gzip.compress(b"") * 10_000)
    empty_block = b"\x00\x00\x00\xff\xff"
    with pytest.raises(TooLarge):
        unpack("deflate", b"\x78\x9c" + empty_block * (LIMIT // 5 + 1), step=4096)


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("gzip", b""),
        ("gzip", TEXT),
        ("gzip", gzip.compress(TEXT, mtime=0)[:-1]),
        ("gzip", gzip.compress(TEXT, mtime=0) + b"more"),
        ("gzip", gzip.compress(TEXT, mtime=0)[:-5] + b"wrong"),
        ("deflate", zlib.compress(TEXT)[:-1]),
        ("deflate", zlib.compress(TEXT) + b"more"),
        ("deflate", b"\xff\xff\xff"),
    ],
)
def test_broken_data_is_malformed(encoding: str, data: bytes) -> None:
    with pytest.raises(Malformed):
        unpack(encoding, data)
