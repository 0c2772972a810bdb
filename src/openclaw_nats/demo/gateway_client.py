"""A small client of the Gateway's WebSocket protocol: enough to run agent turns and sessions commands."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from openclaw_nats.demo.gateway import Gateway

MAIN = "agent:main:main"
_SCOPES = ["operator.read", "operator.write", "operator.admin", "operator.approvals", "operator.pairing"]
_ENDS = ("final", "error", "aborted")


class GatewayError(Exception):
    """The Gateway answered a request with an error."""


class GatewayClient:
    """One connection, made by `connected`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[str, tuple[asyncio.Future[Any], bool]] = {}
        self._chats: dict[str, asyncio.Future[str]] = {}
        self.challenged = asyncio.Event()

    async def request(self, method: str, params: dict[str, Any], *, final: bool = False, seconds: float = 90) -> Any:
        """Call a method; with `final` wait past its "accepted". Raises GatewayError."""
        number = f"r{next(self._numbers)}"
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = (future, final)
        await self._socket.send_json({"type": "req", "id": number, "method": method, "params": params})
        try:
            async with asyncio.timeout(seconds):
                return await future
        finally:
            self._waiting.pop(number, None)

    async def turn(self, message: str, session: str = MAIN, *, key: str = "") -> Any:
        """Run one agent turn and wait for its end."""
        params = {"agentId": "main", "message": message, "sessionKey": session}
        params["idempotencyKey"] = key or f"turn-{time.time_ns()}"
        return await self.request("agent", params, final=True)

    async def chat(self, message: str, session: str = MAIN, *, seconds: float = 60) -> str:
        """Send a chat message as the web chat does and wait for its end: final, error, aborted or none."""
        key = f"chat-{time.time_ns()}"
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._chats[key] = future
        params = {"sessionKey": session, "message": message, "idempotencyKey": key}
        answer = await self.request("chat.send", params)
        if answer.get("runId", key) != key:
            self._chats[answer["runId"]] = future
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            return "none"

    async def read(self) -> None:
        """Take the Gateway's messages in until the connection ends."""
        async for message in self._socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                self._take(json.loads(message.data))
        for future, _ in self._waiting.values():
            if not future.done():
                future.set_exception(GatewayError("the connection ended"))

    def _take(self, frame: dict[str, Any]) -> None:
        if frame.get("type") == "event":
            if frame["event"] == "connect.challenge":
                self.challenged.set()
            elif frame["event"] == "chat" and frame["payload"].get("state") in _ENDS:
                chat = self._chats.get(frame["payload"].get("runId", ""))
                if chat is not None and not chat.done():
                    chat.set_result(frame["payload"]["state"])
            return
        future, final = self._waiting.get(frame.get("id", ""), (None, False))
        if future is None or future.done():
            return
        if not frame.get("ok"):
            future.set_exception(GatewayError(json.dumps(frame.get("error"))))
        elif not (final and (frame.get("payload") or {}).get("status") == "accepted"):
            future.set_result(frame.get("payload"))


@asynccontextmanager
async def connected(gateway: Gateway, *caps: str) -> AsyncIterator[GatewayClient]:
    """A connection to a private Gateway, with its token, and what it can do beside hearing of tools."""
    async with aiohttp.ClientSession() as session, session.ws_connect(gateway.url, max_msg_size=0) as socket:
        client = GatewayClient(socket)
        reader = asyncio.create_task(client.read())
        try:
            async with asyncio.timeout(20):
                await client.challenged.wait()
            await client.request(
                "connect",
                {
                    "minProtocol": 3,
                    "maxProtocol": 3 if gateway.old else 4,
                    "client": {"id": "gateway-client", "version": "1", "platform": "linux", "mode": "backend"},
                    "role": "operator",
                    "scopes": _SCOPES,
                    "caps": ["tool-events", *caps],
                    "commands": [],
                    "permissions": {},
                    "auth": {"token": gateway.token},
                    "locale": "en-US",
                    "userAgent": "openclaw-nats-demo",
                },
            )
            yield client
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
