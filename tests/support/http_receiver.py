"""A receiver of webhooks: a real HTTP server on a port of its own."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOPIC = "/topic-T0PSECRET"


class Receiver:
    """An HTTP server that keeps what it is sent, as ntfy does. `answer` 0 stalls."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.asked: list[str] = []  # the id of each request
        self.answer = 200
        self._end = threading.Event()
        self.server: ThreadingHTTPServer | None = None
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port: int = one.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{TOPIC}"

    def start(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.asked.append(self.headers["webhook-id"])
                if receiver.answer == 0:
                    receiver._end.wait(60)
                    return
                if receiver.answer < 300:
                    receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(receiver.answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._end.set()
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()


@contextlib.contextmanager
def receiving(*, up: bool = True) -> Iterator[Receiver]:
    one = Receiver()
    if up:
        one.start()
    try:
        yield one
    finally:
        one.close()
