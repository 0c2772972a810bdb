"""The dashboard's built files. Names below `assets/` hold a hash, so that browsers may keep them for ever; the others
are asked for each time, and answered 304 while they are the same.

Paths, methods and conditions are left to Starlette's `StaticFiles`. An `ETag` is made of the content: Starlette's own
is made of time and size, which a package manager may leave the same over an upgrade. Compressed copies are made once,
at the start, so that a stranger's requests cost no processor time.
"""

from __future__ import annotations

import gzip
import hashlib
import os
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles
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
    """An ASGI app that serves one folder; without one it says what is missing."""

    def __init__(self, folder: Path | None) -> None:
        self._files = _Files(folder) if folder is not None and (folder / "index.html").is_file() else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (await self._answer(scope))(scope, receive, send)

    async def _answer(self, scope: Scope) -> Response:
        if scope["method"] not in ("GET", "HEAD"):
            return problem("method-not-allowed", "This is a file.", headers={"Allow": "GET, HEAD"})
        path = scope["path"].removeprefix("/") or "index.html"
        if self._files is None and path == "index.html":
            return problem(
                "not-found", "This installation has no dashboard.", hint="Install openclaw-nats from its wheel."
            )
        try:
            if self._files is not None and not path.endswith("/"):  # a file is no folder
                return await self._files.get_response(path, scope)
        except (HTTPException, OSError):  # a name too long, not to be read, gone: there is no such file for a browser
            pass
        return problem("not-found", "The dashboard has no such file.")


@dataclass(frozen=True)
class _File:
    kind: str
    etag: str
    cache: str
    packed: bytes


class _Files(StaticFiles):
    """Starlette's, for the files that were there at the start, with their types, compressed copies and ETags."""

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder, follow_symlink=True)  # some installers make each file a link into a cache
        self._known: dict[str, _File] = {}
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix in _TYPES:
                body = path.read_bytes()
                cache = _ONE_YEAR if path.relative_to(folder).parts[0] == "assets" else "no-cache"
                etag, packed = hashlib.sha256(body).hexdigest()[:32], gzip.compress(body, 9, mtime=0)
                self._known[os.path.abspath(path)] = _File(_TYPES[path.suffix], etag, cache, packed)
        self._started = formatdate(usegmt=True)

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """The file, compressed where the client takes that; 304 when the client has it."""
        if (one := self._known.get(str(full_path))) is None:
            raise HTTPException(404)
        asked = Headers(scope=scope)
        packed = "gzip" in asked.get("accept-encoding", "")
        headers = {
            "ETag": f'"{one.etag}-gzip"' if packed else f'"{one.etag}"',
            "Cache-Control": one.cache,
            "Last-Modified": self._started,
            "Vary": "Accept-Encoding",
        }
        if packed:
            headers["Content-Encoding"] = "gzip"
            response = Response(one.packed, status_code, headers, one.kind)
        else:
            response = FileResponse(full_path, status_code, headers, one.kind, stat_result=stat_result)
        return NotModifiedResponse(response.headers) if self.is_not_modified(response.headers, asked) else response
