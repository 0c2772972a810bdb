"""The process of `openclaw-nats receive`: the front door alone, for a house behind NAT.

What is verified goes to the house over NATS, and is answered when the house has stored it. There is no API here: only
`/in/…`, and `/healthz`, which answers 204 while the house takes events and else 503, without a word.

Stop order: the HTTP server first (requests under way get their answer), then the tasks, then the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping

import msgspec
import structlog
from prometheus_client import CollectorRegistry
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from openclaw_nats import __version__
from openclaw_nats.addresses import is_loopback
from openclaw_nats.api.front_door import FrontDoor
from openclaw_nats.api.problems import problem
from openclaw_nats.contract.sources import SourceLog
from openclaw_nats.errors import OpenClawNatsError
from openclaw_nats.jetstream.connection import Connection
from openclaw_nats.service.http_server import HttpServer, bind
from openclaw_nats.service.receiver_file import Receiver, read
from openclaw_nats.service.receiver_sources import Sources, alone
from openclaw_nats.service.tasks import keep_running
from openclaw_nats.service.tls import Certificate
from openclaw_nats.sources.door import Door
from openclaw_nats.sources.house import House
from openclaw_nats.sources.log import DoorLog, DoorMeters

log = structlog.get_logger(__name__)

_OURS = re.compile(r"/in(?:/.*)?", re.DOTALL)
_GRACE_SECONDS = 25  # a body may take 20 s to come, and the house 5 s to answer


class App:
    """All that is open: addresses of sources, and health."""

    def __init__(self, front: FrontDoor, house: House) -> None:
        self._front = front
        self._house = house

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        path = scope["path"]
        if _OURS.fullmatch(path):
            await self._front(scope, receive, send)
            return
        if path == "/healthz" and scope["method"] in ("GET", "HEAD"):
            await Response(status_code=503 if self._house.problem else 204)(scope, receive, send)
            return
        await problem("not-found", "There is nothing here.")(scope, receive, send)


def _tell(source: str, request: SourceLog) -> None:
    """What came, as a line of the log: nobody can ask this process for it."""
    about = {name: value for name, value in msgspec.structs.asdict(request).items() if value and name != "at"}
    subject = about.pop("event", "")
    log.info("delivery", source=source, subject=subject, **about)


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Behind the front door of a receiver there is no application."""
    await problem("not-found", "There is nothing here.")(scope, receive, send)


async def serve(receiver: Receiver) -> None:
    """Receive until SIGTERM or SIGINT; SIGHUP reads the file's sources again."""
    with alone(receiver.state):
        hint = "Stop it, or choose another port: `listen` in the file."
        listener = bind(receiver.host, receiver.port, "the receiver", hint)
        try:
            certificate = receiver.tls()
            sources = Sources(receiver.state)
            try:
                await sources.apply(receiver.sources, receiver.keep_replaced)
                await _serve(receiver, sources, listener, certificate)
            finally:
                sources.database.close()
        finally:
            listener.close()


async def _serve(
    receiver: Receiver, sources: Sources, listener: socket.socket, certificate: Certificate | None
) -> None:
    connection = Connection(receiver.nats, name="openclaw-nats receiver")
    house = House(connection, receiver.key)
    door_log = DoorLog(DoorMeters(CollectorRegistry()), tell=_tell)
    door = Door(sources.book, door_log, house, sources.database, None)
    app = App(FrontDoor(_nothing, door=door, book=sources.book, door_log=door_log), house)
    again = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, again.set)
    runs = {
        "nats": connection.run,
        "house": house.run,
        "front-door": door.run,
        "file": lambda: _follow(receiver, sources, again),
        **({"certificate": certificate.run} if certificate is not None else {}),
    }
    tasks = asyncio.create_task(_run(runs), name="receiver-tasks")
    log.info("receiver.started", version=__version__, listen=f"{receiver.host}:{receiver.port}", key=receiver.key)
    if not is_loopback(receiver.host):
        log.warning("receiver.listens_beyond_loopback", host=receiver.host, tls=certificate is not None)
    try:
        tls = certificate.context if certificate is not None else None
        server = HttpServer(app, [listener], None, tls, max_connections=receiver.max_connections, grace=_GRACE_SECONDS)
        await server.serve(sockets=[])
    finally:
        tasks.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await tasks
        await connection.close()
        log.info("receiver.stopped")


async def _run(runs: Mapping[str, Callable[[], Awaitable[None]]]) -> None:
    errors: dict[str, str] = {}
    async with asyncio.TaskGroup() as group:
        for name, run in runs.items():
            group.create_task(keep_running(name, run, errors), name=name)


async def _follow(receiver: Receiver, sources: Sources, again: asyncio.Event) -> None:
    """Apply the file's sources when somebody asks for it; a file that is wrong changes nothing."""
    while True:
        await again.wait()
        again.clear()
        try:
            found = read(receiver.path)
            await sources.apply(found.sources, found.keep_replaced)
        except OpenClawNatsError as error:
            log.error("receiver.file_refused", error=str(error), hint=error.hint)
        else:
            log.info("receiver.file_read", sources=[one.request.name for one in found.sources])
