"""The address of a source, `/in/<name>/<token>`: the only thing that is open there, whatever else is asked.

Also as `/dashboard/in/…`, where the Gateway's plugin passes on what came to its own port. Whoever has no right address,
and whoever sends what is not verified, gets the same answer.
"""

from __future__ import annotations

import math
import re
from urllib.parse import urlsplit

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from openclaw_nats.api.header_values import headers_of
from openclaw_nats.api.json_answers import json_response
from openclaw_nats.api.problems import problem, problem_for
from openclaw_nats.audit.acting import acting
from openclaw_nats.errors import OpenClawNatsError, StreamConflict, Unavailable
from openclaw_nats.sources.book import SourceBook
from openclaw_nats.sources.door import MAX_BODY, Door
from openclaw_nats.sources.log import DoorLog
from openclaw_nats.sources.schemes.catalog import SCHEMES
from openclaw_nats.sources.schemes.scheme import Received, Refused
from openclaw_nats.sources.stored import StoredSource

log = structlog.get_logger(__name__)

GATEWAY_PREFIX = "/nats-dashboard"
_OURS = re.compile(r"(?:/dashboard)?/in(?:/.*)?", re.DOTALL)
_ADDRESS = re.compile(r"(/dashboard)?/in/([a-z0-9_-]{1,32})/([A-Za-z0-9_-]{1,64})")
_HANDSHAKE = "webhook-request-origin"
_RATE = "600"  # requests a minute, of the CloudEvents handshake


class FrontDoor:
    """Middleware in front of everything else."""

    def __init__(self, app: ASGIApp, *, door: Door, book: SourceBook, door_log: DoorLog) -> None:
        self._app = app
        self._door = door
        self._book = book
        self._log = door_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _OURS.fullmatch(scope.get("path", "")):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        except Exception as error:
            log.error("front_door.bug", error=repr(error), exc_info=True)
            response = problem("internal", "The sidecar failed; its log says why.")
        response.headers["Cache-Control"] = "no-store"
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        found = _ADDRESS.fullmatch(request.scope["path"])
        source = self._book.at(found[2], found[3]) if found is not None else None
        if source is None or found is None:
            self._log.stranger()
            return _unverified()
        if request.method == "OPTIONS" and source.type == "cloudevents":
            return self._handshake(source, request)
        peer = request.client.host if request.client is not None else ""
        headers = headers_of(request)
        coding = headers.get("content-encoding", "identity").strip().lower()
        if request.method != "POST" or coding != "identity":
            why = f"it is no POST, but {request.method[:20]}"
            if request.method == "POST":
                why = f"a {coding[:40]} body can't be verified"
            self._log.note(source.name, 401, reason=why, peer=peer)
            return _unverified()
        body = await _body(request)
        if body is None:
            self._log.note(source.name, 413, reason=f"longer than {MAX_BODY} bytes", peer=peer)
            return problem("too-large", f"the body is longer than {MAX_BODY} bytes")
        reads_url = SCHEMES[source.type].reads_url
        url = _url(request, source, through_gateway=bool(found[1])) if reads_url else ""
        try:
            with acting(f"source:{source.name}"):
                done = await self._door.take(source, Received(headers, body, url), peer)
        except Refused:
            return _unverified()
        except (Unavailable, StreamConflict) as error:  # where and why is no affair of who sends
            wait = str(math.ceil(error.retry_after if isinstance(error, Unavailable) else 30))
            return problem("unavailable", "It can't be stored now.", headers={"Retry-After": wait})
        except OpenClawNatsError as error:
            return problem_for(error)
        if done.reply is not None:
            status, answer, media_type = done.reply
            return Response(answer, status, media_type=media_type)
        if done.event is not None:
            return json_response(done.event, done.status)
        return Response(done.body, done.status, media_type="application/json")

    def _handshake(self, source: StoredSource, request: Request) -> Response:
        """May an origin deliver? ("HTTP 1.1 Web Hooks for Event Delivery", 4.) Its deliveries have to be verified all
        the same.
        """
        origin = request.headers.get(_HANDSHAKE, "")
        self._log.note(source.name, 200, event="handshake", reason=f"for {origin[:80]}")
        headers = {"Allow": "POST", "WebHook-Allowed-Origin": origin[:255] or "*", "WebHook-Allowed-Rate": _RATE}
        return Response(status_code=200, headers=headers)


def _unverified() -> Response:
    return problem("not-verified", "It is not proven to come from the sender that this address is for.")


async def _body(request: Request) -> bytes | None:
    """The body as it came, byte for byte; None for one that is too long."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _url(request: Request, source: StoredSource, *, through_gateway: bool) -> str:
    """The address as the provider has it: as the operator has set it, else as it seems from here."""
    query = request.scope["query_string"].decode("latin-1")
    tail = f"?{query}" if query else ""
    if source.options.url:
        return address_of(source, through_gateway=through_gateway) + tail
    scheme = request.headers.get("x-forwarded-proto", request.scope["scheme"]).partition(",")[0].strip()
    host = request.headers.get("x-forwarded-host", request.headers.get("host", "")).partition(",")[0].strip()
    path = request.scope["path"]
    if through_gateway:
        path = GATEWAY_PREFIX + path.removeprefix("/dashboard")
    return f"{scheme}://{host}{path}{tail}"


def address_of(source: StoredSource, *, through_gateway: bool) -> str:
    """The address as the provider has it: `options.url` whole, or with the source's own path behind it."""
    base = source.options.url.partition("?")[0].rstrip("/")
    if urlsplit(base).path:
        return base
    return f"{base}{GATEWAY_PREFIX if through_gateway else ''}/in/{source.name}/{source.token}"
