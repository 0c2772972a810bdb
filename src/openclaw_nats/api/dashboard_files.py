"""The dashboard's built files. Names below `assets/` hold a hash, so that browsers may keep them for ever."""

from __future__ import annotations

import gzip
from email.utils import formatdate
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from openclaw_nats.api.problems import problem

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".md": "text/plain; charset=utf-8",
}
_ONE_YEAR = "public, max-age=31536000, immutable"


class DashboardFiles:
    """An ASGI app that serves one folder from memory, compressed once: a few files of some kilobytes."""

    def __init__(self, folder: Path | None) -> None:
        self._files: dict[str, tuple[bytes, bytes, str]] = {}
        for path in sorted(folder.rglob("*")) if folder is not None else []:
            if path.is_file() and path.suffix in _TYPES:
                body = path.read_bytes()
                name = "/" + path.relative_to(folder or path).as_posix()
                self._files[name] = (body, gzip.compress(body, 9, mtime=0), _TYPES[path.suffix])
        self._started = formatdate(usegmt=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        await self._answer("/index.html" if path == "/" else path, scope)(scope, receive, send)

    def _answer(self, path: str, scope: Scope) -> Response:
        if scope["method"] not in ("GET", "HEAD"):
            return problem("method-not-allowed", "This is a file.", headers={"Allow": "GET, HEAD"})
        if path not in self._files:
            if path == "/index.html":
                return problem(
                    "not-found", "This installation has no dashboard.", hint="Install openclaw-nats from its wheel."
                )
            return problem("not-found", "The dashboard has no such file.")
        body, packed, kind = self._files[path]
        headers = {"Vary": "Accept-Encoding", "Last-Modified": self._started}
        headers["Cache-Control"] = _ONE_YEAR if path.startswith("/assets/") else "no-cache"
        if "gzip" in Headers(scope=scope).get("accept-encoding", ""):
            return Response(packed, media_type=kind, headers={**headers, "Content-Encoding": "gzip"})
        return Response(body, media_type=kind, headers=headers)
