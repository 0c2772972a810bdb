"""Whether the Gateway answers, asked of servers that answer anything."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from openclaw_nats.gateway import probe
from openclaw_nats.gateway.probe import GatewayProbe
from openclaw_nats.installer.openclaw import gateway_state
from openclaw_nats.port_holder import free_port


@asynccontextmanager
async def server(answer: bytes | None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that answers each connection with these bytes, or (None) never; its address, and what it was asked."""
    asked: list[bytes] = []

    connections: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            if answer is None:
                await reader.read()
            else:
                writer.write(answer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}", asked
    finally:
        listening.close()
        await asyncio.wait_for(asyncio.gather(*filter(None, connections)), 5)


async def looked(url: str) -> GatewayProbe:
    found = GatewayProbe(url)
    await found.refresh()
    return found


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", ""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", ""),
        (b"HTTP/1.1 401 Unauthorized\r\n\r\n", ""),
        (b"HTTP/1.0 404 Not Found\r\n\r\nx", ""),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", ""),  # the body is nobody's concern
        (b"HTTP/1.1 503 Busy\r\n\r\n", "http://{where}/healthz answered 503"),
        (b"HTTP/1.1 302 Found\r\nlocation: http://{where}/elsewhere\r\n\r\n", "http://{where}/healthz answered 302"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "http://{where}/healthz answered no HTTP"),
        (b"", "http://{where}/healthz answered no HTTP"),
        (b"HTTP/1.1 200 " + b"x" * 200_000, "http://{where}/healthz answered no HTTP"),
    ],
)
async def test_what_answers_decides(answer: bytes, error: str) -> None:
    async with server(answer) as (where, asked):
        found = await looked(f"http://{where}/below?x=1")
        assert found.last_error == error.replace("{where}/", "{where}/below?x=1/").format(where=where)
        assert found.reachable is (not error)
        assert asked[0].startswith(b"GET /healthz HTTP/1.1\r\n")
        assert len(asked) <= 2  # aiohttp asks once more when the connection was closed without a word


async def test_one_that_keeps_still_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_TIMEOUT_SECONDS", 0.2)
    async with server(None) as (where, _):
        found = await looked(f"http://{where}")
    assert found.last_error == f"http://{where} did not answer within 0.2 s"


async def test_nobody_listens_or_the_address_is_none(unused_tcp_port_factory: Callable[[], int]) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port_factory()}"
    assert (await looked(url)).last_error.startswith(f"{url}: ")
    assert (await looked(url)).last_error == f"{url}: connection refused"
    for url in ("http://127.0.0.1:99999", "http://[::1", "https://"):
        assert (await looked(url)).last_error.startswith(f"{url}: ")


async def test_a_password_in_the_address_is_neither_sent_nor_shown() -> None:
    async with server(b"HTTP/1.1 500 x\r\n\r\n") as (where, asked):
        found = await looked(f"http://me:pass-word@{where}")
        assert found.last_error == f"http://me:***@{where}/healthz answered 500"
        assert b"pass-word" not in asked[0]
        assert b"uthorization" not in asked[0]


async def test_tls_at_a_port_that_has_none() -> None:
    async with server(b"HTTP/1.1 200 OK\r\n\r\n") as (where, _):
        found = await looked(f"https://{where}")
        assert not found.reachable
        assert found.last_error.startswith(f"https://{where}")


async def test_a_gateway_that_is_busy_is_not_called_away() -> None:
    """2026.3.31 answers nothing for some seconds after it says that it is ready."""
    async with server(None) as (silent, _), server(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n") as (there, _):
        assert await asyncio.to_thread(gateway_state, f"http://{silent}", 0.3) == "silent"
        assert await asyncio.to_thread(gateway_state, f"http://{there}", 5) == "answers"
        assert await asyncio.to_thread(gateway_state, f"http://127.0.0.1:{free_port()}", 5) == "away"
