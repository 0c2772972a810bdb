"""`openclaw-nats key`."""

from __future__ import annotations

import secrets
import time

import click

from openclaw_nats.cli.group import Group
from openclaw_nats.cli.output import json_option, print_json, step, waiting
from openclaw_nats.errors import SettingsError, SetupError

_TAKEN_SECONDS = 10.0


@click.group("key", cls=Group)
def command() -> None:
    """Change the API key: `key rotate` replaces it."""


@command.command("rotate")
@json_option
def rotate(as_json: bool) -> None:
    """Replace the API key by a new one: what the old one opened ends, dashboard sessions too.

    Plugin and commands read the new key from its file; events wait in the plugin's spool meanwhile. Scripts that have
    the old key get 401 until they are given the new one.
    """
    from openclaw_nats.cli.agents import refuse_agents
    from openclaw_nats.cli.audited import audited
    from openclaw_nats.contract.command_line import KeyRotated
    from openclaw_nats.service.files import write_private
    from openclaw_nats.settings import API_KEY_VARIABLE, load

    refuse_agents("replace the API key")
    settings = load()
    old, file = settings.api_key(), settings.api_key_file
    if settings.api_key_is_given:
        raise SettingsError(
            f"the API key comes from the environment ({API_KEY_VARIABLE})",
            hint=f"Change it there and restart, or remove the variable: then {file} holds the key.",
        )
    with audited("key.rotate", str(file)), waiting("waiting until the sidecar has the new key", quiet=as_json):
        write_private(file, secrets.token_urlsafe(32) + "\n")
        taken = _wait_until_taken()
        if taken is None:
            write_private(file, old + "\n")
            raise SetupError(
                "the sidecar does not take the new key, so that the old one was put back",
                hint=f"Does the sidecar have {API_KEY_VARIABLE} in its environment, or another state directory?",
            )
    if as_json:
        print_json(KeyRotated(str(file), taken))
        return
    step("✓", f"the API key is a new one, in {file}")
    if taken:
        step("✓", "the sidecar has it; the old key, its connections and every dashboard session have ended")
    else:
        step("✓", "the sidecar does not run: it starts with the new key, and ends every dashboard session then")
    step("!", "scripts with the old key get 401 until they have the new one")


def _wait_until_taken() -> bool | None:
    """Whether a running sidecar has the new key; False when none runs, None when it goes on with another."""
    from openclaw_nats.cli.sidecar_client import SidecarClient, SidecarDown, SidecarRefusal
    from openclaw_nats.settings import load

    until = time.monotonic() + _TAKEN_SECONDS
    while True:
        try:
            SidecarClient(load()).call("GET", "/api/pause", timeout=_TAKEN_SECONDS)
            return True
        except SidecarDown:
            return False
        except SidecarRefusal as refusal:
            if refusal.status != 401:
                return True  # it knows us
        if time.monotonic() > until:
            return None
        time.sleep(0.2)
