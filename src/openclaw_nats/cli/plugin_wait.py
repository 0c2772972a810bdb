"""The end of `setup`: the running Gateway has the plugin as it is configured, or the operator hears why not."""

from __future__ import annotations

import time
from typing import Any

_PLUGIN_SECONDS = 45.0
_TURN_SECONDS = 60.0
_GRACE_SECONDS = 8.0  # the Gateway takes a new configuration over by itself within a second or two
_RESTART_AFTER_SECONDS = 15.0
_LATER = "when no turn runs, `openclaw-nats setup` or a restart of the Gateway does it"


def _restart(openclaw: Any, url: str) -> bool:
    """Have the Gateway restarted; False when there is no service to restart. Raises SetupError when it fails."""
    from openclaw_nats.errors import SetupError
    from openclaw_nats.installer.openclaw import CommandFailed, gateway_answers

    try:
        return bool(openclaw.restart_gateway())
    except CommandFailed as error:
        state = "it still runs" if gateway_answers(url) else f"nothing answers at {url} now"
        raise SetupError(
            f"OpenClaw could not restart its Gateway, which had not loaded the plugin ({state}): {error}",
            hint="`openclaw gateway status` says more; when the Gateway runs, run `openclaw-nats setup` again.",
        ) from None


def wait_for_plugin(setup: Any, say: Any, *, was_running: bool, patience: float = _TURN_SECONDS) -> Any:
    """Return the sidecar's report once the running Gateway's plugin sends what it should, or the time is up.

    A Gateway of 2026.9 does not take over what changed while a turn runs, and does not try again: it is asked until
    that turn has ended, for `patience` seconds at most, since it may refuse for good. One of 2026.4 that restarted
    itself when the plugin came may miss what was configured meanwhile: writing it again has it look. One that does not
    load the plugin at all is restarted, where OpenClaw runs it as a service.
    """
    from openclaw_nats.cli.sidecar_client import SidecarClient
    from openclaw_nats.errors import SetupError
    from openclaw_nats.installer import gateway_plugin
    from openclaw_nats.installer.openclaw import PLUGIN_ID, CommandFailed, gateway_answers

    settings = setup.settings()
    client, url = SidecarClient(settings), settings.gateway.url
    report = client.call("GET", "/api/health")
    if not was_running:
        say("!", "Gateway", f"nothing answers at {url}: events begin when the Gateway is started")
        return report
    began, seconds = time.monotonic(), _PLUGIN_SECONDS
    restarted, waits, due, why = False, False, setup.reload_due, ""
    written_again = False
    while (passed := time.monotonic() - began) < seconds:
        report = client.call("GET", "/api/health")
        plugin = report["plugin"]
        if plugin["reachable"] and not due and plugin["conversationAccess"] is not False:
            say("✓", "Gateway", f"{report['gateway']['version']} at {url} sends its events")
            return report
        done: bool | None = None
        if due or (plugin["reachable"] and passed > _GRACE_SECONDS):
            try:
                done = gateway_plugin.reload(setup.openclaw) or None
                due = False
                if done:  # what was loaded at the last moment gets the time to report itself
                    seconds = max(seconds, time.monotonic() - began + _RESTART_AFTER_SECONDS)
            except CommandFailed as error:
                done, why = False, str(error)
            except SetupError as error:
                say("!", "Gateway", f"{error}: {_LATER}")
                return report
        if done is None and plugin["reachable"] and passed > _GRACE_SECONDS and not written_again:
            written_again = True
            setup.openclaw.set_config(f"plugins.entries.{PLUGIN_ID}.enabled", True)
        if done is False and not waits and gateway_answers(url):
            waits, seconds = True, time.monotonic() - began + patience
            text = f"it does not load the plugin now, as while a turn runs: trying again for {patience:.0f} s ({why})"
            say("·", "Gateway", text)
        if done is None and not restarted and passed > _RESTART_AFTER_SECONDS:
            restarted = True
            if _restart(setup.openclaw, url):
                say("+", "Gateway", "restarted, since it did not load the plugin by itself")
        time.sleep(0.5 if done is None else 2.0)
    if waits:
        say("!", "Gateway", f"it has still not loaded the current plugin ({why}): {_LATER}")
    elif report["plugin"]["reachable"]:
        say("!", "Gateway", f"it has not applied the plugin's configuration (no llm.output events): {_LATER}")
    else:
        say(
            "!",
            "Gateway",
            f"it runs at {url}, but has not loaded the plugin: restart it, then `openclaw-nats status`",
        )
    return report
