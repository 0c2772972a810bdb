"""Talking to JetStream directly, as somebody else would."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from typing import Any

import nats

from tests.support.processes import NATS_PASSWORD, NatsServer


def api(server: NatsServer, operation: str, request: object = None) -> dict[str, Any]:
    """Call `$JS.API.<operation>`."""
    body = b"" if request is None else json.dumps(request).encode()
    return json.loads(asyncio.run(_request(server, f"$JS.API.{operation}", body, None)))


def publish(server: NatsServer, subject: str, body: bytes, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """Publish to a stream and return the acknowledgement."""
    return json.loads(asyncio.run(_request(server, subject, body, headers)))


def publish_raw(server: NatsServer, subject: bytes, body: bytes, headers: bytes | None = None) -> bytes:
    """Publish by NATS' own protocol, subject and headers of any bytes; the server's answer to the PING after it."""
    login = json.dumps({"user": "openclaw-nats", "pass": NATS_PASSWORD, "verbose": False, "headers": True}).encode()
    sizes = b"%d" % len(body) if headers is None else b"%d %d" % (len(headers), len(headers) + len(body))
    verb = b"PUB" if headers is None else b"HPUB"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as link, link.makefile("rb") as lines:
        lines.readline()
        link.sendall(b"CONNECT %b\r\nPING\r\n" % login)
        assert lines.readline() == b"PONG\r\n"
        link.sendall(b"%b %b %b\r\n%b%b\r\nPING\r\n" % (verb, subject, sizes, headers or b"", body))
        return lines.readline()


def read(server: NatsServer, stream: str) -> list[dict[str, Any]]:
    """The messages of a stream: subject, data, headers; empty when there are none."""
    state = api(server, f"STREAM.INFO.{stream}")["state"]
    found = []
    for sequence in range(state["first_seq"], state["last_seq"] + 1):
        answer = api(server, f"STREAM.MSG.GET.{stream}", {"seq": sequence})
        if "message" in answer:
            message = answer["message"]
            found.append({"subject": message["subject"], "data": base64.b64decode(message.get("data", ""))})
    return found


async def _request(server: NatsServer, subject: str, body: bytes, headers: dict[str, str] | None) -> bytes:
    client = await nats.connect(server.url, user="openclaw-nats", password=NATS_PASSWORD)
    try:
        return (await client.request(subject, body, timeout=5, headers=headers)).data
    finally:
        await client.close()
