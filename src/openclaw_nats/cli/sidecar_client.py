"""The sidecar's API for commands: one request a connection, errors in the operator's words."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import sys
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode, urlsplit

from openclaw_nats import __version__, peer_proof
from openclaw_nats.cli.flags import in_flags
from openclaw_nats.cli.local_way import LocalConnection, local_connection
from openclaw_nats.cli.output import waiting
from openclaw_nats.errors import InvalidInput, OpenClawNatsError, words_for
from openclaw_nats.events.json_text import lenient
from openclaw_nats.gateway import tls
from openclaw_nats.settings import Settings

_KEY_HINT = "`openclaw-nats restart` makes it read the key; is NATS_PLUGIN_API_KEY set here, or where it runs?"
_DOWN_HINT = "`openclaw-nats start` starts it; `openclaw-nats status` shows what is down."
_SLOW_HINT = "It is there, but stands still: `openclaw-nats restart` ends what hangs; `openclaw-nats doctor` says more."
_USER_AGENT = f"openclaw-nats-cli/{__version__}"  # tells it from scripts (api/actors.py)
_PROOF_SECONDS = 10.0  # a sidecar that works proves itself at once
_PORT_HINT = "Does another program have the port? A sidecar of an older version: `openclaw-nats restart` helps."


class SidecarError(OpenClawNatsError):
    """The sidecar could not be asked, or refused."""


class SidecarDown(SidecarError):
    """The sidecar does not answer."""

    exit_code = 3


class SidecarRefusal(SidecarError):
    """The sidecar answered with an error: `status` is HTTP's."""

    def __init__(self, message: str, *, status: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        if status >= 500:
            self.exit_code = 3 if status in (503, 504) else 1
        else:
            self.exit_code = 1 if status == 401 else 2


class SidecarClient:
    """Asks one sidecar, with its API key."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._parts = urlsplit(settings.sidecar.url)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        timeout: float = 30.0,
        headers: dict[str, str] | None = None,
        flags: Mapping[str, str] = MappingProxyType({}),
    ) -> Any:
        """Send one request and return the decoded answer; raise SidecarError, which names fields by these flags."""
        response = self._send(method, path, body, timeout, headers)
        data = self._read(response)
        if path == "/api/health" and response.status in (200, 503):
            return _health(data)
        if response.status >= 400:
            raise self.explained(path, _refusal(response.status, data, flags))
        try:
            return lenient(data) if data else None
        except ValueError:
            raise _refusal(502, b"") from None

    def explained(self, path: str, refusal: SidecarRefusal) -> SidecarRefusal:
        """A refusal of what was asked for at `path`, with whatever more can be said of it."""
        return refusal

    def lines(self, path: str, query: dict[str, str], *, timeout: float | None) -> Iterator[bytes]:
        """Send a GET and yield the answer's lines as they come, empty ones (keep-alive) left out."""
        response = self._send("GET", f"{path}?{urlencode(query)}", None, timeout)
        if response.status >= 400:
            raise _refusal(response.status, self._read(response))
        try:
            for line in response:
                if line.strip():
                    yield line
        except (OSError, http.client.HTTPException) as error:
            raise SidecarDown(
                f"the connection to the sidecar broke: {words_for(error)}", hint="`openclaw-nats status` shows more."
            ) from None

    def post_lines(self, lines: bytes, query: str = "") -> dict[str, Any]:
        """Send events as NDJSON and return what became of them; raise SidecarError."""
        response = self._send("POST", f"/api/events{query}", lines, 60.0)
        data = self._read(response)
        if response.status >= 400:
            raise _refusal(response.status, data)
        found: dict[str, Any] = json.loads(data)
        return found

    def _send(
        self, method: str, path: str, body: Any, timeout: float | None, more: dict[str, str] | None = None
    ) -> http.client.HTTPResponse:
        connection = self._connection(min(timeout or _PROOF_SECONDS, _PROOF_SECONDS))
        headers = {"Accept": "application/json; version=1, */*", "Connection": "close", "User-Agent": _USER_AGENT}
        headers |= more or {}
        data = body if isinstance(body, bytes) or body is None else _encoded(body)
        if body is not None:
            headers.setdefault("Content-Type", "application/x-ndjson" if data is body else "application/json")
        try:
            with waiting(f"asking the sidecar at {self._settings.sidecar.url}", quiet=not sys.stderr.isatty()):
                headers["Authorization"] = self._authorization(connection)
                if connection.sock is not None:
                    connection.sock.settimeout(timeout)
                connection.timeout = timeout
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    connection.request(method, path, data, headers)
                return connection.getresponse()  # also where it was refused before all of it was sent
        except SidecarRefusal:
            connection.close()
            raise
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise SidecarDown(
                f"the sidecar at {self._settings.sidecar.url} does not answer: {words_for(error)}",
                hint=_SLOW_HINT if isinstance(error, TimeoutError) else _DOWN_HINT,
            ) from None

    def _connection(self, seconds: float) -> http.client.HTTPConnection:
        """By the socket in the state directory where it is there, else by the address."""
        if (local := local_connection(self._settings, seconds)) is not None:
            return local
        host, port = self._parts.hostname or "127.0.0.1", self._parts.port
        if self._parts.scheme != "https":
            return http.client.HTTPConnection(host, port, timeout=seconds)
        context = tls.unchecked() if self._proves else ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=seconds, context=context)

    @property
    def _proves(self) -> bool:
        """Whether the other side proves that it has the key; else its certificate says who it is.

        On this machine the proof is bound to the address that was dialled, which nobody else has.
        """
        return self._parts.scheme != "https" or self._settings.sidecar_is_here

    def _authorization(self, connection: http.client.HTTPConnection) -> str:
        """What says who we are, once the other side has proven who it is; by TLS its certificate has."""
        key = self._settings.api_key()
        local = isinstance(connection, LocalConnection)
        if not self._proves and not local:
            return f"Bearer {key}"
        if not local:
            connection.connect()
        connection.auto_open = 0  # what follows belongs to this very connection
        host, port = (connection.sock.getpeername(), 0) if local else connection.sock.getpeername()[:2]
        nonce = peer_proof.new_nonce()
        connection.request("GET", f"{peer_proof.PATH}?nonce={nonce}")
        response = connection.getresponse()
        body = response.read(8192)
        try:
            answer: Any = json.loads(body) if response.status == 200 else {}
        except ValueError:
            answer = {}
        dialled = peer_proof.address_of(host, port)
        if why := peer_proof.why_not(key, nonce, answer, dialled):
            raise SidecarRefusal(
                f"{self._settings.sidecar.url}: {why}",
                status=401,
                hint=_KEY_HINT if why == peer_proof.OTHER_KEY else _PORT_HINT,
            )
        token = peer_proof.token(key, nonce, answer["nonce"], answer["address"])
        return f"{peer_proof.SCHEME} {token}"

    @staticmethod
    def _read(response: http.client.HTTPResponse) -> bytes:
        try:
            return response.read()
        except (OSError, http.client.HTTPException) as error:
            raise SidecarDown(f"the connection to the sidecar broke: {words_for(error)}") from None


def _encoded(body: Any) -> bytes:
    """JSON; raise InvalidInput for numbers that JSON has no word for."""
    try:
        return json.dumps(body, allow_nan=False).encode()
    except ValueError:
        raise InvalidInput("JSON has no NaN and no Infinity", hint="Leave them out, or write them as text.") from None


def _health(data: bytes) -> Any:
    """The whole report; raise SidecarRefusal for the short one that strangers get: then our key is not accepted."""
    try:
        report = json.loads(data)
    except ValueError:
        raise _refusal(502, data) from None
    if not isinstance(report, dict) or "sidecar" not in report:
        raise _refusal(401 if isinstance(report, dict) and "status" in report else 502, data)
    return report


def _refusal(status: int, body: bytes, flags: Mapping[str, str] = MappingProxyType({})) -> SidecarRefusal:
    try:
        problem = json.loads(body)
        detail, hint = str(problem["detail"]), str(problem.get("hint", ""))
        detail = in_flags(detail, str(problem.get("field", "")), flags)
    except (ValueError, KeyError, TypeError):
        detail, hint = f"the sidecar answered {status}", "Does another program listen on its port?"
    if status in (503, 504) and not hint:
        hint = "`openclaw-nats doctor` says what is wrong and what to do; then repeat it."
    if status == 401:
        detail = "the sidecar does not accept our API key: it was started with another one"
        hint = _KEY_HINT
    return SidecarRefusal(detail, status=status, hint=hint)
