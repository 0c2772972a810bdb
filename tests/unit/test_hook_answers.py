"""What whoever has the Gateway's port may answer: its size is bounded, and strange answers are answers all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from openclaw_nats.errors import DeliveryError, RetryLater
from openclaw_nats.gateway import hooks
from openclaw_nats.gateway.hooks import Hooks
from openclaw_nats.gateway.responses import retry_after
from openclaw_nats.gateway.webhook import Webhooks
from tests.support.parcels import parcel

Answering = Callable[[bytes], AsyncIterator[str]]


@pytest.fixture
async def answering() -> AsyncIterator[Answering]:
    """Start a server that answers every request with these bytes; gives its address."""
    servers: list[asyncio.Server] = []

    async def start(answer: bytes) -> AsyncIterator[str]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            try:
                while b"Transfer-Encoding: chunked" in answer:  # without end
                    writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                    await writer.drain()
                await writer.drain()
            except ConnectionError:
                pass
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        servers.append(server)
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    yield start
    for server in servers:
        server.close()


def whole(body: bytes, status: str = "200 OK", more: bytes = b"") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n".encode() + more + b"\r\n" + body


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        whole(b"[" * 100_000),
        whole(b'{"completion":' + b'{"status":' * 5000 + b"1" + b"}" * 5001),
        whole(b'{"completion":{"status":"\xff"}}'),
        whole(b'{"completion":{"status":1e400}}'),
        whole(b"5"),
    ],
)
async def test_a_strange_answer_of_the_gateway_is_one_that_broke_off(answering: Answering, answer: bytes) -> None:
    async for url in answering(answer):
        async with aiohttp.ClientSession() as session, asyncio.timeout(20):
            with pytest.raises(RetryLater):
                await Hooks(url, lambda: "token", session, 60).send(parcel("k"))


async def test_no_more_of_an_answer_is_kept_than_the_limit(answering: Answering) -> None:
    async for url in answering(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n"):
        async with aiohttp.ClientSession() as session, asyncio.timeout(20), session.get(url) as answer:
            assert len(await hooks._read(answer)) == hooks.MAX_ANSWER


@pytest.mark.parametrize("value", ["\u00b2", "-1", "1e9", "9" * 5000, "Thu, 99 Nov 2026", "\u0665"])
async def test_a_strange_retry_after_is_no_mistake_of_ours(answering: Answering, value: str) -> None:
    assert 0 <= retry_after({"Retry-After": value}) <= 3600
    async for url in answering(whole(b"", "503 No", f"Retry-After: {value}\r\n".encode())):
        async with aiohttp.ClientSession() as session:
            with pytest.raises(DeliveryError):
                await Webhooks(session).send(parcel("k", kind="webhook", url=url))
