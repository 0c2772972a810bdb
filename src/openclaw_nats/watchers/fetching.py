"""Asking for what is at an address: only what is new, and never more, longer or from elsewhere than it should be."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import zlib
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from openclaw_nats import __version__
from openclaw_nats.errors import WatchFailed, words_for

MAX_BYTES = 5 << 20
SECONDS = 30.0
_REDIRECTS = 5
_LONGEST_TAG = 1024
_LONGEST_WAIT = 3600.0  # seconds that a server may ask for
_AGENT = f"openclaw-nats/{__version__}"


@dataclass(frozen=True)
class Tags:
    """By what a server knows which version we have: `ETag` and `Last-Modified`, empty without one."""

    etag: str = ""
    modified: str = ""


@dataclass(frozen=True)
class Fetched:
    """What was answered; `body` is None when nothing has changed."""

    body: bytes | None
    tags: Tags
    content_type: str = ""


async def fetch(url: str, accept: str, tags: Tags, header: str = "", secret: str = "") -> Fetched:
    """Ask for an address, with a secret in a header (`Authorization`, as a bearer token, without a name).

    Raises WatchFailed: no answer within SECONDS, more than MAX_BYTES, a status that is no 2xx. Redirects are followed,
    but never from https to http, and to another host only when that is on the public internet.
    """
    try:
        async with asyncio.timeout(SECONDS):
            return await _follow(url, accept, tags, _proof(header, secret))
    except TimeoutError:
        raise WatchFailed(f"{_host(url)} did not answer within {SECONDS:g} s") from None
    except aiohttp.ClientConnectorError as error:
        raise WatchFailed(f"{_host(url)} can't be reached: {words_for(error.os_error)}") from None
    except (aiohttp.ClientError, OSError, ValueError, zlib.error) as error:
        raise WatchFailed(f"{_host(url)} can't be asked: {words_for(error)}") from None


def _proof(header: str, secret: str) -> dict[str, str]:
    if not secret:
        return {}
    if header.lower() in ("", "authorization"):
        return {"Authorization": f"Bearer {secret}"}
    return {header: secret}


async def _follow(url: str, accept: str, tags: Tags, proof: dict[str, str]) -> Fetched:
    first = urlsplit(url)
    for _ in range(_REDIRECTS + 1):
        parts = urlsplit(url)
        elsewhere = parts.hostname != first.hostname
        headers = {"Accept": accept, "Accept-Encoding": "gzip", "User-Agent": _AGENT}
        if (parts.scheme, parts.netloc) == (first.scheme, first.netloc):
            headers |= proof
            headers |= {"If-None-Match": tags.etag} if tags.etag else {}
            headers |= {"If-Modified-Since": tags.modified} if tags.modified else {}
        connector = aiohttp.TCPConnector(resolver=_PublicOnly()) if elsewhere else aiohttp.TCPConnector()
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session,
            session.get(url, headers=headers, allow_redirects=False) as answer,
        ):
            if answer.status in (301, 302, 303, 307, 308):
                url = _next(parts, answer.headers.get("Location", ""))
                continue
            return await _read(answer)
    raise WatchFailed(f"{first.hostname} redirects more than {_REDIRECTS} times")


def _next(parts: SplitResult, location: str) -> str:
    """Where a redirect leads, if it may be followed."""
    to = urljoin(parts.geturl(), location)
    target = urlsplit(to)
    if not location or target.scheme not in ("http", "https") or not target.hostname:
        raise WatchFailed(f"{parts.hostname} redirects to what is no address")
    if (parts.scheme, target.scheme) == ("https", "http"):
        raise WatchFailed(f"{parts.hostname} redirects from https to http")
    if target.hostname != parts.hostname and _is_private(target.hostname):
        raise WatchFailed(_PRIVATE.format(parts.hostname), hint="Give the address that it leads to.")
    return to


_PRIVATE = "{} redirects to an address that is not on the public internet"


def _is_private(host: str) -> bool:
    """Whether a host is an address, and no public one."""
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    mapped = getattr(found, "ipv4_mapped", None) or found
    return not mapped.is_global


class _PublicOnly(AbstractResolver):
    """Names that lead into our own network lead nowhere."""

    def __init__(self) -> None:
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if any(_is_private(one["host"]) for one in found):
            raise OSError(_PRIVATE.format(host))
        return found

    async def close(self) -> None:
        await self._inner.close()


async def _read(answer: aiohttp.ClientResponse) -> Fetched:
    if answer.status == 304:
        return Fetched(None, Tags())
    host = answer.url.host
    if not 200 <= answer.status < 300:
        raise WatchFailed(f"{host} answered {answer.status}", retry_after=_wait(answer.headers.get("Retry-After", "")))
    coding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in ("identity", "", "gzip", "x-gzip"):
        raise WatchFailed(f"{host} answered in the coding {coding[:40]!r}, which was not asked for")
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 16) if "gzip" in coding else None
    body = bytearray()
    async for chunk in answer.content.iter_chunked(64 << 10):
        body += unpack.decompress(chunk, MAX_BYTES + 1 - len(body)) if unpack is not None else chunk
        if len(body) > MAX_BYTES or (unpack is not None and unpack.unconsumed_tail):
            raise WatchFailed(f"{host} answered with more than {MAX_BYTES >> 20} MiB")
    if unpack is not None and not unpack.eof:
        raise WatchFailed(f"{host} answered with gzip that is cut off")
    tags = Tags(_tag(answer.headers.get("ETag", "")), _tag(answer.headers.get("Last-Modified", "")))
    return Fetched(bytes(body), tags, answer.headers.get("Content-Type", ""))


def _tag(text: str) -> str:
    return text if len(text) <= _LONGEST_TAG and text.isascii() and text.isprintable() else ""


def _wait(text: str) -> float:
    asked = float(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0.0
    return min(asked, _LONGEST_WAIT)


def _host(url: str) -> str:
    return urlsplit(url).hostname or "the address"
