"""Names in paths may hold a slash: `/api/cron/a%2Fb` names the job `a/b`.

Starlette routes the decoded path, in which that slash would end the name. So it is kept as a character that no name can
hold (names are printable, this one is for private use) until the endpoint asks for the name.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

_KEPT = "\ue000"
_SLASH = re.compile(rb"%2f", re.IGNORECASE)


class SlashesInNames:
    """Middleware that keeps escaped slashes out of the routing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw: bytes = scope.get("raw_path") or b""
        if scope["type"] == "http" and _SLASH.search(raw):
            scope = {**scope, "path": unquote(_SLASH.sub(_KEPT.encode(), raw))}
        await self._app(scope, receive, send)


def name_of(request: Request) -> str:
    """The name that the path holds."""
    return str(request.path_params["name"]).replace(_KEPT, "/")
