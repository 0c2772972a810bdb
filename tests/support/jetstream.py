"""Talking to JetStream directly, as somebody else would."""

from __future__ import annotations

import asyncio
import json
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


async def _request(server: NatsServer, subject: str, body: bytes, headers: dict[str, str] | None) -> bytes:
    client = await nats.connect(server.url, user="openclaw-nats", password=NATS_PASSWORD)
    try:
        return (await client.request(subject, body, timeout=5, headers=headers)).data
    finally:
        await client.close()
