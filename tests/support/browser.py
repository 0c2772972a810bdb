"""What a browser does at the dashboard's door, without a browser: sign in, keep the cookie, say where it comes from."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from tests.support.processes import Sidecar


def sign_in_code(sidecar: Sidecar) -> str:
    """A one-time code, as `openclaw-nats dashboard` makes it."""
    status, answer = sidecar.call("POST", "/api/sign-in-links")
    assert status == 201, answer
    return str(answer["links"][-1]).rpartition("/")[2]


class Visitor:
    """Somebody at an address of the dashboard (`http://127.0.0.1:3104/dashboard`), signed in or not."""

    def __init__(self, page: str) -> None:
        parts = urlsplit(page)
        self.host = parts.netloc
        self.prefix = parts.path.rstrip("/")
        self.cookie = ""
        self.page_token = ""

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """One request below the dashboard's address, with `Origin` as browsers send it."""
        connection = http.client.HTTPConnection(self.host, timeout=30)
        sent = self.credentials()
        if method not in ("GET", "HEAD"):
            sent["Origin"] = f"http://{self.host}"
        data = None
        if body is not None:
            sent["Content-Type"], data = "application/json", json.dumps(body).encode()
        sent |= headers or {}
        try:
            connection.request(method, self.prefix + path, data, {k: v for k, v in sent.items() if v})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """The same, JSON decoded."""
        status, _, answer = self.request(method, path, body, headers)
        return status, json.loads(answer) if answer else None

    def sign_in(self, code: str) -> dict[str, Any]:
        """Redeem a code; the session."""
        status, headers, answer = self.request("POST", "/api/session", {"code": code})
        assert status == 201, answer
        self.cookie = headers["set-cookie"].partition(";")[0]
        found: dict[str, Any] = json.loads(answer)
        self.page_token = found["pageToken"]
        return found

    def credentials(self) -> dict[str, str]:
        """What the page's own requests carry: the cookie, and the page's token."""
        found = {"Cookie": self.cookie, "X-OpenClaw-NATS-Page": self.page_token}
        return {name: value for name, value in found.items() if value}
