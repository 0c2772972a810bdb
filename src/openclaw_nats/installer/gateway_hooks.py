"""OpenClaw's hooks: the way to the agent for Gateways whose plugins can't run turns, and for wake-ups.

Gateways before 2026.6 have no `runtime.subagent`: for them setup enables `/hooks/agent` with a token and allows named
sessions. On later ones nothing is changed; a token that is there already is noted, as a second way.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from openclaw_nats.installer.openclaw import OpenClaw
from openclaw_nats.service.files import write_private

_PLUGINS_RUN_TURNS_SINCE = (2026, 6)
_SESSION_PREFIXES = ["agent:", "hook:"]


class GatewayHooks:
    """What is to be done about the hooks of one OpenClaw, and our note of their token."""

    def __init__(self, openclaw: OpenClaw, token_file: Path) -> None:
        self._openclaw = openclaw
        self._token_file = token_file

    @property
    def needed(self) -> bool:
        """Whether this Gateway can be reached over its hooks only."""
        major, minor = self._openclaw.version.split(".")[:2]
        return (int(major), int(minor)) < _PLUGINS_RUN_TURNS_SINCE

    def todo(self) -> str:
        """What would change; empty when it is right."""
        if self.needed and self._wanted() != self.current():
            return (
                "enable hooks in OpenClaw's configuration, with a token, for named sessions (this version needs them)"
            )
        token = self._token()
        if token and token != self._noted():
            return f"note OpenClaw's hook token in {self._token_file} (only you can read it)"
        return ""

    def apply(self) -> None:
        """Make it so."""
        if self.needed and self._wanted() != self.current():
            self._openclaw.set_config("hooks", self._wanted())
        if token := self._token():
            write_private(self._token_file, token + "\n")

    def detail(self) -> str:
        """How turns get to the agent."""
        if self.needed:
            return "/hooks/agent (this version's plugins can't run turns)"
        return "through the plugin" + (", else /hooks/agent" if self._token() else "")

    def current(self) -> dict[str, Any]:
        """The hooks as they are configured."""
        found = self._openclaw.config().get("hooks", {})
        return found if isinstance(found, dict) else {}

    def _wanted(self) -> dict[str, Any]:
        current = self.current()
        wanted = {**current, "enabled": True, "allowRequestSessionKey": True}
        wanted["token"] = self._token() or self._noted() or secrets.token_hex(24)
        prefixes = current.get("allowedSessionKeyPrefixes") or []
        wanted["allowedSessionKeyPrefixes"] = prefixes + [one for one in _SESSION_PREFIXES if one not in prefixes]
        return wanted

    def _token(self) -> str:
        """The configured token, if hooks are on and it stands there as text."""
        hooks = self.current()
        token = hooks.get("token")
        plain = isinstance(token, str) and token and not token.startswith("${")
        return str(token) if plain and hooks.get("enabled") is True else ""

    def _noted(self) -> str:
        try:
            return self._token_file.read_text().strip()
        except OSError:
            return ""


def restore(openclaw: OpenClaw, before: dict[str, Any] | None, ours: dict[str, Any] | None) -> bool:
    """Put the hooks back as they were before setup, unless somebody has changed them since; whether it was done."""
    if ours is None or openclaw.config().get("hooks", {}) != ours:
        return False
    if before:
        openclaw.set_config("hooks", before)
    else:
        openclaw.run("config", "unset", "hooks")
    return True
