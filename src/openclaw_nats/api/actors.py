"""Who acts, as it is written down: a browser's session, our command line, or another program with the API key."""

from __future__ import annotations

from starlette.requests import Request

CLI_AGENT = "openclaw-nats-cli"


def actor_of(request: Request) -> str:
    """`dashboard <session>`, `the command line` or `the API key`: whoever has the key may call itself either."""
    if session := request.scope.get("session"):
        return f"dashboard {session}"
    if request.headers.get("user-agent", "").startswith(CLI_AGENT):
        return "the command line"
    return "the API key"
