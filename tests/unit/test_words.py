"""What an error of a library says to an operator; never the bare name of a class."""

from __future__ import annotations

import asyncio
import http.client
import ssl

import aiohttp
import pytest
from nats.errors import NoServersError
from nats.errors import TimeoutError as NatsTimeoutError

from openclaw_nats.errors import words_for


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "no answer in time"),
        (TimeoutError("timed out"), "no answer in time"),
        (NatsTimeoutError(), "no answer in time"),
        (ConnectionRefusedError(111, "Connection refused"), "connection refused"),
        (OSError(111, "Connect call failed ('127.0.0.1', 4222)"), "connection refused"),
        (
            OSError("Multiple exceptions: [Errno 111] Connect call failed (), [Errno 113] Connect call failed ()"),
            "connection refused, no route to host",
        ),
        (ConnectionResetError(), "the connection was closed"),
        (asyncio.IncompleteReadError(b"", 4), "the connection was closed"),
        (EOFError(), "the connection was closed"),
        (NoServersError(), "nats: no servers available for connection"),
        (ValueError("a  b"), "a b"),
        (KeyError(), "key (no further detail)"),
    ],
)
def test_errors_speak_in_words(error: BaseException, words: str) -> None:
    assert words_for(error) == words


@pytest.mark.parametrize(
    "error",
    [
        aiohttp.ServerDisconnectedError(),
        aiohttp.ClientPayloadError(),
        http.client.RemoteDisconnected("Remote end closed connection without response"),
        http.client.BadStatusLine(""),
        ssl.SSLError(1, "certificate verify failed"),
        OSError(),
        RuntimeError(),
    ],
)
def test_no_error_is_only_the_name_of_its_class(error: BaseException) -> None:
    said = words_for(error)
    assert said.strip()
    assert type(error).__name__ not in said
