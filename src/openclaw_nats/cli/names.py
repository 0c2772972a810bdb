"""Names of routes, jobs and timers: completed in the shell, and the nearest one for a name that does not exist."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import click
from click.shell_completion import CompletionItem

from openclaw_nats.cli.sidecar_client import SidecarClient, SidecarRefusal
from openclaw_nats.errors import OpenClawNatsError
from openclaw_nats.suggestions import did_you_mean

_LISTS = {
    "routes": "routes",
    "cron": "jobs",
    "timers": "timers",
    "sources": "sources",
    "alerts": "channels",
    "expectations": "expectations",
}
_NAMED = re.compile(r"/api/(routes|cron|timers|sources|alerts|expectations)/([^/?]+)")
_SECONDS = 2.0  # a shell waits for it

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


class NamingClient(SidecarClient):
    """The sidecar; an answer that something does not exist names what is nearest to it."""

    def explained(self, path: str, refusal: SidecarRefusal) -> SidecarRefusal:
        """See SidecarClient.explained."""
        named = _NAMED.match(path)
        if refusal.status == 404 and named is not None:
            refusal.hint = did_you_mean(unquote(named[2]), self._names(named[1]), refusal.hint)
        return refusal

    def _names(self, kind: str) -> list[str]:
        try:
            return [_name(one) for one in self.call("GET", f"/api/{kind}", timeout=_SECONDS)[_LISTS[kind]]]
        except OpenClawNatsError:
            return []


def _name(one: dict[str, Any]) -> str:
    return str((one.get("rule") or one)["name"])


def completes(kind: str) -> Complete:
    """Completion of the names of `routes`, `cron` (jobs) or `timers`; of nothing while the sidecar does not answer."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from openclaw_nats.settings import load

        try:
            found = SidecarClient(load()).call("GET", f"/api/{kind}", timeout=_SECONDS)[_LISTS[kind]]
        except (OpenClawNatsError, OSError, KeyError, TypeError):
            return []
        names = [_name(one) for one in found]
        # A line break or a control character in a name would be taken for another answer by the shell's script.
        return [CompletionItem(name) for name in names if name.startswith(incomplete) and name.isprintable()]

    return complete


def complete_setting(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completion of the names of settings, with their meaning."""
    from openclaw_nats.settings import REGISTRY

    return [CompletionItem(one.name, help=one.help) for one in REGISTRY if one.name.startswith(incomplete)]
