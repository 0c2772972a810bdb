"""A web server whose pages a test changes; it knows ETags."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Page:
    """What is at a path; what was asked for there, by the status that was answered."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    tagged: bool = True
    answered: list[int] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)


class Web:
    """The server, at `url`."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        pages = self.pages

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                page = pages.get(self.path, Page(status=404))
                body, status = page.body, page.status
                page.asked.append({name.lower(): value for name, value in self.headers.items()})
                tag = '"' + hashlib.sha256(body).hexdigest()[:16] + '"'
                if status == 200 and page.tagged and self.headers.get("If-None-Match") == tag:
                    body, status = b"", 304
                page.answered.append(status)
                self.send_response(status)
                for name, value in page.headers.items():
                    self.send_header(name, value)
                if page.tagged:
                    self.send_header("ETag", tag)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *arguments: object) -> None:
                """Whoever asked may be killed meanwhile."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def put(self, path: str, body: bytes, **more: object) -> Page:
        """Put a page there; the same object while it changes."""
        page = self.pages.setdefault(path, Page())
        page.body = body
        for name, value in more.items():
            setattr(page, name, value)
        return page

    def close(self) -> None:
        """Stop it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
