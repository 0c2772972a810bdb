"""What an agent may not do by a command: its `exec` marks what it starts."""

from __future__ import annotations

import os

from openclaw_nats.errors import NotAllowed


def refuse_agents(what: str) -> None:
    """Raise NotAllowed in an agent's shell. This is no lock: who may run any command as this user may do anything."""
    if os.environ.get("OPENCLAW_SHELL") == "exec":
        raise NotAllowed(f"an agent may not {what}", hint="Tell the user: only they can.")
