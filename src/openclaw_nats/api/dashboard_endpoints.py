"""Signing in and out of the dashboard, and making the one-time links for it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from openclaw_nats.api.json_answers import json_body, json_response
from openclaw_nats.api.problems import Malformed, problem
from openclaw_nats.api.sign_in import CODE_SECONDS, SignIn
from openclaw_nats.contract.checking import check
from openclaw_nats.contract.views import Session, Sessions, SignedIn, SignInLinks, SignInRequest
from openclaw_nats.errors import NotFound
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.storage.dashboard_sessions import SessionRow

_BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"), ("Mac", "macOS"))


class DashboardEndpoints:
    """The handlers. `pages` are the addresses under which the dashboard can be reached now, the best one first."""

    def __init__(self, sign_in: SignIn, cookie: str, pages: Callable[[], Awaitable[list[str]]]) -> None:
        self._sign_in = sign_in
        self._cookie = cookie
        self._pages = pages

    async def link(self, request: Request) -> Response:
        """A one-time link, valid for two minutes: for each address of the dashboard."""
        pages = await self._pages()
        code = await self._sign_in.new_code()
        links = [f"{page}#/sign-in/{code}" for page in pages]
        return json_response(SignInLinks(links, CODE_SECONDS), 201)

    async def sign_in(self, request: Request) -> Response:
        """Turn a one-time code into a session: a cookie, which no script can read, and a token for the page."""
        asked = check(await json_body(request, 4096), SignInRequest, "the body", Malformed)
        redeemed = await self._sign_in.redeem(asked.code, _browser(request.headers.get("user-agent", "")))
        if redeemed is None:
            return problem(
                "link-used-up",
                "This link has been used already, or is older than two minutes.",
                hint="`openclaw-nats dashboard` makes a new one.",
            )
        token, page, row = redeemed
        answer = json_response(SignedIn(**msgspec.structs.asdict(_view(row, row.id)), page_token=page), 201)
        # Without a path it holds for where the dashboard's API is: below /dashboard/api, or /nats-dashboard/api.
        secure = "; Secure" if request.headers.get("origin", "").startswith("https://") else ""
        age = int(row.ends_at - row.made_at)
        answer.headers["Set-Cookie"] = f"{self._cookie}={token}; HttpOnly; SameSite=Strict; Max-Age={age}{secure}"
        return answer

    async def whoami(self, request: Request) -> Response:
        """The session of this request."""
        current = request.scope["session"]
        row = next(row for row in self._sign_in.every() if row.id == current)
        return json_response(_view(row, current))

    async def sign_out(self, request: Request) -> Response:
        """End the session of this request."""
        await self._sign_in.end(request.scope["session"])
        answer = Response(status_code=204)
        answer.headers["Set-Cookie"] = f"{self._cookie}=; HttpOnly; SameSite=Strict; Max-Age=0"
        return answer

    async def sessions(self, request: Request) -> Response:
        """All browsers that are signed in."""
        current = request.scope.get("session", "")
        return json_response(Sessions([_view(row, current) for row in self._sign_in.every()]))

    async def session(self, request: Request) -> Response:
        """Sign one browser out."""
        if not await self._sign_in.end(request.path_params["id"]):
            raise NotFound("there is no such session", hint="`openclaw-nats dashboard sessions` lists them.")
        return Response(status_code=204)


def _view(row: SessionRow, current: str) -> Session:
    return Session(
        id=row.id,
        browser=row.browser,
        made_at=format_seconds(row.made_at),
        seen_at=format_seconds(row.seen_at),
        ends_at=format_seconds(row.ends_at),
        current=row.id == current,
    )


def _browser(agent: str) -> str:
    """`Firefox on Linux`, of what a browser says it is."""
    browser = next((name for mark, name in _BROWSERS if mark in agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in agent), "Linux" if "Linux" in agent else "")
    if browser:
        return f"{browser} on {system}" if system else browser
    return re.sub(r"[^\x20-\x7e]", "", agent)[:40] or "unknown"
