"""Each sidecar as a NATS service (ADR-32 of nats-architecture-and-design): name `openclaw-nats`, endpoint `status`.

So `nats req '$SRV.STATS.openclaw-nats'` finds every sidecar, and each finds the others. The service has a connection of
its own: a user who may not subscribe to `$SRV.>` costs the sidecar nothing but this view.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.micro import add_service
from nats.micro.request import Request
from nats.micro.service import Service

from openclaw_nats.errors import Unavailable, words_for
from openclaw_nats.jetstream.client import SturdyClient
from openclaw_nats.jetstream.connection import Connection
from openclaw_nats.jetstream.options import Options
from openclaw_nats.jetstream.refusals import HINT

log = structlog.get_logger(__name__)

NAME = "openclaw-nats"
PROOF = "Openclaw-Nats-Proof"
STATUS = "openclaw-nats.status"  # every sidecar answers here, each in a queue group of its own
_ALL_SECONDS = 2.0
_QUIET_SECONDS = 0.4  # so long after an answer without another there are no more
_NO_RESPONDERS = "503"
_NO_INBOX = (b"agent.", b"key.", b"openclaw-nats.", b"$")
_MOST = 2000
_MOST_BYTES = 16 << 20


class ServiceClient(SturdyClient):
    """Answers below inboxes alone: nats-server asks no permission for the subject on which a sender wants its answer,
    and on most subjects of ours a message changes something.
    """

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        if reply and reply.startswith(_NO_INBOX):
            log.debug("fleet.no_inbox", subject=subject[:255], reply=reply[:255])
            return
        await super()._process_msg(sid, subject, reply, data, headers)


class FleetService:
    """The service of this sidecar, and the port `Neighbours` to those of the others; `run` must be running."""

    def __init__(
        self,
        options: Options,
        metadata: Callable[[], dict[str, str]],
        version: str,
        answer: Callable[[bytes], Awaitable[tuple[bytes, str]]],
    ) -> None:
        self._connection = Connection(options, ServiceClient, "openclaw-nats fleet")
        self._connection.on_connect = self._announce
        self._metadata = metadata
        self._shown: dict[str, str] = {}
        self._version = version
        self._answer = answer
        self._service: tuple[Client, Service] | None = None

    @property
    def problem(self) -> str:
        """Why the others can't be seen now; empty when they can."""
        return self._connection.last_error or ("" if self._connection.connected else "not connected to NATS yet")

    async def run(self) -> None:
        """Keep the service's connection up until cancelled."""
        await self._connection.run()

    async def close(self) -> None:
        """Leave."""
        await self._connection.close()

    async def ask(self, question: bytes, expected: int) -> list[tuple[bytes, str]]:
        """See Neighbours.ask."""
        if not self._connection.connected:
            raise Unavailable(f"the others can't be asked: {self.problem}")
        client, found = self._connection.client, list[tuple[bytes, str]]()
        size, inbox = 0, client.new_inbox()
        came = asyncio.Event()

        async def take(message: Msg) -> None:
            nonlocal size
            if (message.headers or {}).get("Status") == _NO_RESPONDERS:
                return  # of nats-server: nobody has subscribed
            size += len(message.data)
            if len(found) < _MOST and size <= _MOST_BYTES:
                found.append((bytes(message.data), (message.headers or {}).get(PROOF, "")))
                came.set()

        try:
            subscription = await client.subscribe(inbox, cb=take)
            try:
                await client.publish(STATUS, question, reply=inbox)
                await self._all(found, came, expected)
            finally:
                await subscription.unsubscribe()
        except (NatsError, OSError) as error:
            raise Unavailable(f"the others can't be asked: {words_for(error)}") from error
        if not found:
            raise Unavailable(f"no sidecar answered, not even this one. {self._deaf()}")
        return found

    def _deaf(self) -> str:
        refused = "ermissions violation" in self._connection.last_error
        return f"{self._connection.last_error}. {HINT}" if refused else self.problem or "Is NATS overloaded?"

    async def _all(self, found: list[tuple[bytes, str]], came: asyncio.Event, expected: int) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + _ALL_SECONDS
        while (left := end - loop.time()) > 0:
            came.clear()
            enough = len(found) >= expected and found
            try:
                await asyncio.wait_for(came.wait(), min(left, _QUIET_SECONDS) if enough else left)
            except TimeoutError:
                if enough:
                    return

    async def _announce(self) -> None:
        """Start the service on a new connection; on one that came back its subscriptions are there still."""
        client = self._connection.client
        self.refresh()
        if self._service is not None and self._service[0] is client:
            return
        try:
            service = await add_service(
                client,
                name=NAME,
                version=self._version,
                description="The event bus of an OpenClaw Gateway: its sidecar",
                metadata=self._shown,
            )
            await service.add_endpoint(name="status", subject=STATUS, handler=self._handle, queue_group=service.id)
        except (NatsError, OSError) as error:
            raise Unavailable(f"the service can't be announced: {words_for(error)}") from error
        self._service = (client, service)

    def refresh(self) -> None:
        """Show what is known now: the versions of Gateway and nats-server come to be known later than the start."""
        self._shown.update(self._metadata())

    async def _handle(self, request: Request) -> None:
        self.refresh()
        try:
            body, proof = await self._answer(request.data[:256])
        except Exception as error:  # a mistake of ours: whoever asked hears of it
            log.error("fleet.bug", error=repr(error), exc_info=True)
            await request.respond_error("500", "a fault in openclaw-nats; its log says more")
            return
        await request.respond(body, headers={PROOF: proof})
