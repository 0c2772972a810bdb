"""The HTTP server of sidecar and receiver: at its address, by TLS where there is a certificate, on a Unix socket."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import ssl
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from openclaw_nats import port_holder
from openclaw_nats.addresses import is_loopback
from openclaw_nats.api.http_protocol import limited
from openclaw_nats.errors import SettingsError
from openclaw_nats.service.local_socket import LocalSocket
from openclaw_nats.service.tls_accept import TlsServer


def listen(host: str, port: int) -> list[socket.socket]:
    """Bind the sidecar's sockets; raise SettingsError that says who may be in the way.

    Where `host` is one address beyond loopback, the port on 127.0.0.1 is taken, too: plugin and commands may come
    there, and nobody else shall hold it and pass on to us what they say.
    """
    hint = "Stop it, or choose another port with `openclaw-nats config set sidecar.port <port>`."
    listeners = [bind(host, port, "the sidecar", hint)]
    bound = listeners[0].getsockname()[0]
    if not (is_loopback(bound) or ipaddress.ip_address(bound.partition("%")[0]).is_unspecified):
        try:
            listeners.append(bind("127.0.0.1", port, "the sidecar", hint))
        except SettingsError:
            listeners[0].close()
            raise
    return listeners


def bind(host: str, port: int, who: str, hint: str) -> socket.socket:
    """Bind a socket; raise SettingsError that says who may be in the way."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        holder = port_holder.holder(port) if error.errno == errno.EADDRINUSE else None
        raise SettingsError(
            f"{who} can't listen on {host} port {port}: {holder or error.strerror}"
            + (" listens there" if holder else ""),
            hint=hint,
        ) from None
    return listener


class HttpServer(uvicorn.Server):
    """It listens on a Unix socket, too. And two things at the stop: `end` ends answers without an end first, since
    uvicorn would wait for them until its patience ends; and the signal is not raised once more, which would end the
    process before its tasks and database. `grace` is how many seconds requests under way have at the stop.
    """

    def __init__(
        self,
        app: ASGIApp,
        listeners: list[socket.socket],
        local: LocalSocket | None,
        tls: ssl.SSLContext | None,
        *,
        max_connections: int,
        grace: int,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        config = uvicorn.Config(
            app,
            http=limited(max_connections),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=grace,
            backlog=1024,
        )
        super().__init__(config)
        self._end = end
        self._listeners = listeners
        self._local = local
        self._tls = tls
        self._max_handshakes = max_connections
        self._tls_server: TlsServer | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        config, kind = self.config, self.config.http_protocol_class

        def protocol() -> asyncio.Protocol:  # as uvicorn itself makes one for a socket
            return kind(config=config, server_state=self.server_state, app_state=self.lifespan.state)  # type: ignore[call-arg]

        if self._tls is not None:
            self._tls_server = TlsServer(self._tls, self._max_handshakes, protocol)
        for listener in self._listeners:
            if self._tls_server is not None:
                self._tls_server.serve(listener)
            else:
                loop = asyncio.get_running_loop()
                self.servers.append(await loop.create_server(protocol, sock=listener, backlog=config.backlog))
        if self._local is not None and (server := await self._local.serve(protocol, config.backlog)) is not None:
            self.servers.append(server)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._captured_signals.clear()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._end()
        if self._tls_server is not None:
            await self._tls_server.close()
        if self._local is not None:
            self._local.remove()
        await super().shutdown(sockets)
