"""One mapping from errors to problem documents, for every way into the API."""

from __future__ import annotations

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from openclaw_nats.api.problems import name_of, problem, problem_for
from openclaw_nats.api.unpacking import ACCEPTED, UnsupportedMediaType
from openclaw_nats.errors import OpenClawNatsError
from openclaw_nats.outbound.meters import IngestMeters

log = structlog.get_logger(__name__)


class Failures:
    """Turns what a handler raised into the answer; what was refused on its way in is counted."""

    def __init__(self, meters: IngestMeters) -> None:
        self._meters = meters

    async def known(self, request: Request, error: Exception) -> Response:
        """One of our errors."""
        assert isinstance(error, OpenClawNatsError)  # noqa: S101  (Starlette hands over what it was registered for)
        unread = isinstance(error, UnsupportedMediaType)
        name = "unsupported-media-type" if unread else name_of(error)
        if name == "internal":
            log.error("api.bug", path=request.url.path, error=repr(error), exc_info=error)
        if request.method == "POST":
            self._meters.rejected(name)
        if unread:
            return problem(name, str(error), hint=error.hint, headers={"Accept-Encoding": ACCEPTED})
        return problem_for(error)

    async def http(self, request: Request, error: Exception) -> Response:
        """What Starlette's routing refuses."""
        assert isinstance(error, HTTPException)  # noqa: S101
        if error.status_code == 405:
            allow = {"Allow": (error.headers or {}).get("Allow", "")}
            return problem("method-not-allowed", f"{request.method[:20]} is not for this path", headers=allow)
        return problem("not-found", "No endpoint has this path.")

    async def bug(self, request: Request, error: Exception) -> Response:
        """A mistake of ours."""
        log.error("api.bug", path=request.url.path, error=repr(error), exc_info=error)
        return problem("internal", "The sidecar failed; its log says why.")
