"""Who acts, as it is written down: a browser's session, our command line, or another program with the API key."""

from __future__ import annotations

from starlette.types import Scope

from openclaw_nats.audit.acting import API_KEY, COMMAND_LINE

CLI_AGENT = "openclaw-nats-cli"


def actor_of(scope: Scope) -> str:
    """`dashboard <session>`, `the command line` or `the API key`: whoever has the key may call itself either."""
    if session := scope.get("session"):
        return f"dashboard {session}"
    agents = [value for name, value in scope["headers"] if name == b"user-agent"]
    return COMMAND_LINE if agents and agents[0].startswith(CLI_AGENT.encode()) else API_KEY
