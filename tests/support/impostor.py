"""Another program on a port of ours."""

from __future__ import annotations

import socket
import ssl
import threading


class Impostor:
    """Listens on a port, by TLS with a `context`, says `{}` to whatever comes, and remembers it in `heard`."""

    def __init__(self, port: int = 0, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        self.heard = b""
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Impostor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _run(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            link.settimeout(10)
            try:
                with self._context.wrap_socket(link, server_side=True) if self._context else link as secured:
                    while data := secured.recv(65536):
                        self.heard += data
                        secured.sendall(self.answer(data))
            except OSError:
                link.close()

    def answer(self, data: bytes) -> bytes:
        """What it says to what it heard."""
        return b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
