"""The way into `/dashboard`: its files for everybody, its API only with a session and only from its own pages.

`/dashboard/api/<path>` is `/api/<path>` for a signed-in browser. What a browser has no business with (the plugin's
endpoints, the agents' tools, making sign-in links) is not there. The Gateway's plugin passes `/nats-dashboard/` on to
`/dashboard/` and adds no credential, so that a visitor of the Gateway's port is a visitor here, and no more.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from openclaw_nats.api.problems import problem
from openclaw_nats.api.sign_in import SignIn

PREFIX = "/dashboard"
PAGE_HEADER = "x-openclaw-nats-page"
_SAFE = ("GET", "HEAD")
# First path segment after /api/ → methods that a signed-in browser may use.
OPEN_TO_BROWSERS: dict[str, frozenset[str]] = {
    "activity": frozenset({"GET"}),
    "alerts": frozenset({"GET", "POST", "PATCH", "DELETE"}),
    "approvals": frozenset({"GET", "POST"}),
    "audit": frozenset({"GET"}),
    "certificate": frozenset({"GET", "POST"}),
    "checks": frozenset({"POST"}),
    "cron": frozenset({"GET", "POST", "PATCH", "DELETE"}),
    "dead": frozenset({"GET", "POST"}),
    "deliveries": frozenset({"GET"}),
    "events": frozenset({"GET"}),
    "expectations": frozenset({"GET", "POST", "PATCH", "DELETE"}),
    "expectations-ready": frozenset({"GET"}),
    "health": frozenset({"GET"}),
    "live": frozenset({"GET"}),
    "logs": frozenset({"GET"}),
    "pause": frozenset({"GET", "POST"}),
    "pending": frozenset({"GET", "POST"}),
    "publish": frozenset({"POST"}),
    "quarantine": frozenset({"GET", "POST"}),
    "receipts": frozenset({"GET"}),
    "resume": frozenset({"POST"}),
    "routes": frozenset({"GET", "POST", "PATCH", "DELETE"}),
    "runs": frozenset({"GET"}),
    "session": frozenset({"GET", "DELETE"}),
    "sessions": frozenset({"GET", "DELETE"}),
    "settings": frozenset({"GET"}),
    "source-types": frozenset({"GET"}),
    "sources": frozenset({"GET", "POST", "PATCH", "DELETE"}),
    "spending": frozenset({"GET"}),
    "subjects": frozenset({"GET"}),
    "timers": frozenset({"GET", "POST", "DELETE"}),
    "usage": frozenset({"GET"}),
}
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class DashboardGate:
    """Middleware in front of everything else. `pages` serves the dashboard's files."""

    def __init__(self, app: ASGIApp, *, sign_in: SignIn, cookie: str, pages: ASGIApp) -> None:
        self._app = app
        self._sign_in = sign_in
        self._cookie = cookie
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or not (path == PREFIX or path.startswith(PREFIX + "/")):
            await self._app(scope, receive, send)
            return
        guarded = _with_headers(send)
        if path == PREFIX:
            await RedirectResponse(f".{PREFIX}/", 308)(scope, receive, guarded)
        elif path.startswith(PREFIX + "/api/"):
            await self._api(scope, receive, guarded)
        else:
            await self._pages({**scope, "path": path.removeprefix(PREFIX)}, receive, guarded)

    async def _api(self, scope: Scope, receive: Receive, send: Send) -> None:
        inner = {**scope, "path": scope["path"].removeprefix(PREFIX)}
        inner["raw_path"] = (scope.get("raw_path") or scope["path"].encode()).removeprefix(PREFIX.encode())
        refusal = _cross_site(Headers(scope=scope), scope["method"])
        if refusal is None and (inner["path"], scope["method"]) == ("/api/session", "POST"):
            await self._app({**inner, "signing_in": True}, receive, send)
            return
        if refusal is None:
            session = await self._session(Headers(scope=scope))
            refusal = signed_out() if session is None else _not_here(inner["path"], scope["method"])
            inner["session"] = session
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self._app(inner, receive, send)

    async def _session(self, headers: Headers) -> str | None:
        token = _cookie(headers, self._cookie)
        row = await self._sign_in.session(token, headers.get(PAGE_HEADER, "")) if token else None
        return row.id if row is not None else None


def _cookie(headers: Headers, wanted: str) -> str:
    """The last value of a cookie; empty without one. Ours need no quotation marks.

    http.cookies takes time with the square of a quoted value's length, before Python 3.11.10 and 3.12.6: 2 s for a
    header of 32 KiB, which anybody may send.
    """
    found = ""
    for pair in "; ".join(headers.getlist("cookie")).split(";"):
        name, _, value = pair.strip().partition("=")
        found = value if name == wanted else found
    return found


def signed_out() -> Response:
    """The answer to whoever has no session."""
    return problem("signed-out", "You are not signed in.", hint="`openclaw-nats dashboard` opens a sign-in link.")


def _not_here(path: str, method: str) -> Response | None:
    segment = path.removeprefix("/api/").partition("/")[0]
    if segment not in OPEN_TO_BROWSERS:
        return problem("not-found", "No endpoint has this path.")
    allowed = OPEN_TO_BROWSERS[segment] | ({"HEAD"} if "GET" in OPEN_TO_BROWSERS[segment] else set())
    if method not in allowed:
        headers = {"Allow": ", ".join(sorted(allowed))}
        return problem("method-not-allowed", f"{method[:20]} is not for this path", headers=headers)
    return None


def _cross_site(headers: Headers, method: str) -> Response | None:
    """A refusal of what another site's page asks for.

    Browsers say where a request comes from: `Sec-Fetch-Site` on secure and local pages, `Origin` with every request
    that changes something. A change without an origin is no browser's, and so not the dashboard's.
    """
    fetch_site = headers.get("sec-fetch-site")
    origin = headers.get("origin")
    if fetch_site not in (None, "same-origin", "none"):
        return _refused(f"it comes from another site (Sec-Fetch-Site: {fetch_site[:20]})")
    if origin is not None and fetch_site != "same-origin" and not _is_same(origin, headers.getlist("host")):
        return _refused(f"it comes from {origin[:100]}, and this is {headers.get('host', '')[:100]}")
    if origin is None and method not in _SAFE:
        return _refused("it does not say from which page it comes (Origin)")
    return None


def _is_same(origin: str, hosts: list[str]) -> bool:
    """Whether `Origin` and `Host` name one place, as browsers compare them: letter case, a dot at the end of a name
    and the port that is the scheme's default make no difference. TLS may end at a proxy: the scheme is the origin's."""
    try:
        parts = urlsplit(origin)
        default = {"http": 80, "https": 443}[parts.scheme]
        asked = urlsplit(f"//{hosts[0].strip()}") if len(hosts) == 1 else None
        if asked is None or parts.username is not None or asked.username is not None:
            return False
        if not parts.hostname or asked.path or asked.query or asked.fragment:
            return False
        places = [((one.hostname or "").lower().removesuffix("."), one.port or default) for one in (parts, asked)]
    except (ValueError, KeyError):  # a port that is none, a scheme that no page has
        return False
    return places[0] == places[1]


def _refused(why: str) -> Response:
    return problem("cross-site", f"The request is refused: {why}.")


def _with_headers(send: Send) -> Send:
    async def guarded(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", []))  # type: ignore[call-overload]
            known = {name.lower() for name, _ in headers}
            added = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
            headers += [(name, value) for name, value in added if name not in known]
            if b"cache-control" not in known:
                headers.append((b"cache-control", b"no-store"))
            message = {**message, "headers": headers}
        await send(message)

    return guarded  # type: ignore[return-value]
