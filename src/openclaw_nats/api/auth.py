"""Who may call: who has the API key, in constant time, before anything else is looked at.

Plugin and commands prove it (peer_proof.py) and never send it; scripts of users send it as a bearer token. Limited keys
(keys/) are bearer tokens, too, and open two endpoints.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable
from urllib.parse import parse_qs

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from openclaw_nats import peer_proof
from openclaw_nats.api.actors import actor_of
from openclaw_nats.api.json_answers import json_response
from openclaw_nats.api.problems import problem
from openclaw_nats.audit.acting import acting
from openclaw_nats.contract.keys import LimitedKey
from openclaw_nats.contract.plugin import Proof
from openclaw_nats.keys.known import KnownKeys

_SESSION = f"{peer_proof.SCHEME} ".encode()
# What limited keys may ask for; on which subjects, the endpoints look.
LIMITED = frozenset(
    {("POST", "/api/publish"), ("POST", "/api/events"), ("GET", "/api/events"), ("HEAD", "/api/events")}
)
CONNECTION = "openclaw_nats.connection"  # the scope's key for its http_protocol.LimitedHttpProtocol


class Authority:
    """Who has the API key. `look` is called before a key counts as wrong, and before anything is proven with one."""

    def __init__(self, api_key: str, look: Callable[[], None] = lambda: None, limited: KnownKeys | None = None) -> None:
        self._key = api_key
        self._digest = _digest(api_key.encode())
        self._look = look
        self._limited = limited
        self.end_proven: Callable[[], None] = lambda: None  # connections on which the key was proven

    def change(self, api_key: str) -> None:
        """From now on the key is this one. What was proven with the other counts no more, and its connections end."""
        self._key = api_key
        self._digest = _digest(api_key.encode())
        self.end_proven()

    def admit(self, scope: Scope) -> bool:
        """Whether a request comes with the key or its proof; its connection is then closed for no stranger's sake."""
        if not self._has_key(scope):
            return False
        scope["authorized"] = True
        _is_known(scope)
        return True

    def limited(self, scope: Scope) -> LimitedKey | None:
        """The limited key that a request comes with."""
        token = _bearer(_authorization(scope))
        if self._limited is None or token is None:
            return None
        return self._limited.find(token.decode("ascii", "replace"))

    def prove(self, scope: Scope) -> Response:
        """Prove to whoever asks that we know the key; what they then say on this connection has to prove it, too."""
        query = parse_qs(scope["query_string"].decode("latin-1"))
        nonces = query.get("nonce", [])
        connection, server = scope.get(CONNECTION), scope.get("server")
        if len(nonces) != 1 or not peer_proof.is_nonce(nonces[0]) or connection is None or not server:
            return problem("malformed", "nonce must be 64 hexadecimal digits")
        self._look()
        ours, address = peer_proof.new_nonce(), peer_proof.address_of(server[0], server[1] or 0)
        connection.token = peer_proof.token(self._key, nonces[0], ours, address)
        proof = peer_proof.proof(self._key, nonces[0], ours, address)
        return json_response(Proof(ours, address, proof))

    def _has_key(self, scope: Scope) -> bool:
        given = _authorization(scope)
        if given.startswith(_SESSION):
            expected = getattr(scope.get(CONNECTION), "token", "")
            return bool(expected) and hmac.compare_digest(given[len(_SESSION) :], expected.encode())
        if (token := _bearer(given)) is None:
            return False
        digest = _digest(token)
        if not hmac.compare_digest(digest, self._digest):
            self._look()
        return hmac.compare_digest(digest, self._digest)


class ApiKeyMiddleware:
    """Answers 401 to every request without the key but `open_paths`, which decide for themselves what to tell.

    Unknown paths are 401 too: without the key nothing can be learned about what is here. A request with the session of
    a signed-in browser, or that is about to get one, comes through the dashboard's gate, which has decided.
    """

    def __init__(self, app: ASGIApp, *, authority: Authority, open_paths: Iterable[str]) -> None:
        self._app = app
        self._authority = authority
        self._open = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"] == peer_proof.PATH and scope["method"] == "GET":
            await self._authority.prove(scope)(scope, receive, send)
            return
        if scope.get("session") or scope.get("signing_in"):  # the gate has let it through
            scope["authorized"] = True
            if not scope.get("signing_in"):
                _is_known(scope)
        else:
            scope["authorized"] = self._authority.admit(scope)
        if not scope["authorized"] and (key := self._authority.limited(scope)) is not None:
            await self._limited(key, scope, receive, send)
            return
        if scope["authorized"] or scope["path"] in self._open:
            with acting(actor_of(scope)):
                await self._app(scope, receive, send)
            return
        await unauthorized()(scope, receive, send)

    async def _limited(self, key: LimitedKey, scope: Scope, receive: Receive, send: Send) -> None:
        """A limited key's request: publishing and reading, and nothing else, however the path is written."""
        scope["limited_key"] = key
        if (scope["method"], scope["path"]) in LIMITED or (scope["method"] == "GET" and scope["path"] in self._open):
            with acting(f"key:{key.name}"):
                await self._app(scope, receive, send)
            return
        text = f"The limited key {key.name} may publish and read events, and nothing else."
        await problem("not-allowed", text)(scope, receive, send)


def _authorization(scope: Scope) -> bytes:
    """The header of that name; empty without one, and with several."""
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    return bytes(given[0]) if len(given) == 1 else b""


def _bearer(given: bytes) -> bytes | None:
    return given[7:].strip() if given[:7].lower() == b"bearer " else None


def _is_known(scope: Scope) -> None:
    """The other side of this connection has proven who it is."""
    if (connection := scope.get(CONNECTION)) is not None:
        connection.known = True


def unauthorized() -> Response:
    """The one and only 401."""
    return problem(
        "unauthorized",
        "Send the header 'Authorization: Bearer <API key>'.",
        headers={"WWW-Authenticate": 'Bearer realm="openclaw-nats"'},
    )


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
