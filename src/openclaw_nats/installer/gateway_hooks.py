"""OpenClaw's hooks: the way to the agent for Gateways whose plugins can't run turns, and for wake-ups.

Gateways of early 2026.3 have no `runtime.subagent`, and the session that all agents share where `session.scope` is
global takes no turns from plugins (2026.9.6): then setup enables `/hooks/agent` with a token and allows named sessions.
Otherwise nothing is changed; a token that is there already is noted, as a second way.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

from openclaw_nats.errors import SetupError
from openclaw_nats.events.session_keys import GLOBAL
from openclaw_nats.installer.openclaw import OpenClaw
from openclaw_nats.service.files import write_private
from openclaw_nats.settings import HOOK_TOKEN_VARIABLE

_PLUGINS_RUN_TURNS_SINCE = (2026, 3, 31)  # its packages have it since 2026.3.7; this is the oldest that was tried
_SESSION_PREFIXES = ["agent:", "hook:"]


class GatewayHooks:
    """What is to be done about the hooks of one OpenClaw, and our note of their token."""

    def __init__(self, openclaw: OpenClaw, token_file: Path) -> None:
        self._openclaw = openclaw
        self._token_file = token_file

    @property
    def needed(self) -> bool:
        """Whether this Gateway, or its main session, can be reached over its hooks only."""
        return self._old or self._openclaw.read().section("session").get("scope") == GLOBAL

    @property
    def _old(self) -> bool:
        return self._openclaw.number < _PLUGINS_RUN_TURNS_SINCE

    def todo(self) -> str:
        """What would change; empty when it is right. Raises SetupError when only the operator can do it."""
        token, unknown = self._openclaw.hook_token()
        if unknown and self.needed and not self._given():
            raise SetupError(
                f"OpenClaw's hooks.token is {unknown}, which has no value here, so turns can't be ordered with it",
                hint="Set it where setup runs or in OpenClaw's .env, or give the token as OPENCLAW_HOOK_TOKEN.",
            )
        if self.needed and (missing := self._missing()):
            words = {"enabled": "enable hooks", "token": "with a token", "allowRequestSessionKey": "for named sessions"}
            parts = [words[name] for name in missing if name in words] or ["let hooks name our sessions"]
            why = "this version" if self._old else "session.scope: global"
            return f"change OpenClaw's configuration: {', '.join(parts)} ({why} needs that)"
        if token and self._usable() and token != self._noted():
            return f"store OpenClaw's hook token in {self._token_file} (only you can read it)"
        return ""

    def apply(self) -> None:
        """Make it so. A token that is there already stays as it is written: other senders use it, too."""
        if self.needed and (missing := self._missing()):
            if "token" in missing:
                self._openclaw.set_secret("hooks.token", self._noted() or secrets.token_hex(24))
            self._openclaw.set_all({f"hooks.{name}": value for name, value in missing.items() if name != "token"})
        token, _ = self._openclaw.hook_token()
        if token and self._usable():
            write_private(self._token_file, token + "\n")

    def detail(self) -> str:
        """How turns get to the agent."""
        path = f"{self._openclaw.hooks_path()}/agent"
        if self._old:
            return f"{path} (this version's plugins can't run turns)"
        if self.needed:
            return f"through the plugin, and {path} for the session that all agents share"
        second = f", else {path}" if self._usable() and self._noted() else ""
        return f"through the plugin{second}"

    def current(self) -> dict[str, Any]:
        """The hooks as they are written in the configuration, references unresolved."""
        found = self._openclaw.read().authored.get("hooks", {})
        return found if isinstance(found, dict) else {}

    def _missing(self) -> dict[str, Any]:
        """What of `hooks` is not as this version needs it, with what it should be; `token` only where there is none."""
        now = self._openclaw.read().section("hooks")
        wanted: dict[str, Any] = {}
        if not now.get("token"):
            wanted["token"] = True
        prefixes = now.get("allowedSessionKeyPrefixes") or []
        prefixes = prefixes if isinstance(prefixes, list) else []
        if lacking := [one for one in _SESSION_PREFIXES if one not in prefixes]:
            wanted["allowedSessionKeyPrefixes"] = prefixes + lacking
        wanted |= {name: True for name in ("allowRequestSessionKey", "enabled") if now.get(name) is not True}
        return wanted

    def _usable(self) -> bool:
        return self._openclaw.read().section("hooks").get("enabled") is True

    def _given(self) -> str:
        """A token that the operator gave us, where OpenClaw's own can't be read."""
        return os.environ.get(HOOK_TOKEN_VARIABLE, "").strip() or self._noted()

    def _noted(self) -> str:
        try:
            return self._token_file.read_text("utf-8").strip()
        except OSError:
            return ""


def restore(openclaw: OpenClaw, before: dict[str, Any] | None, ours: dict[str, Any] | None) -> bool:
    """Put the hooks back as they were before setup, unless somebody has changed them since; whether it was done.

    Key by key, so that a token which was there before never passes through a command line.
    """
    now = openclaw.read().authored.get("hooks", {})
    if ours is None or now != ours:
        return False
    if not before:
        openclaw.unset_config("hooks")
        return True
    openclaw.set_all({f"hooks.{name}": before[name] for name in ours if name in before and before[name] != ours[name]})
    for name in ours:
        if name not in before:
            openclaw.unset_config(f"hooks.{name}")
    return True
