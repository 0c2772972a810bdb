"""OpenClaw: its version, our plugin there, what the plugin may see, and whether both sides have the same key."""

from __future__ import annotations

import hashlib
import http.client
import ssl
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from openclaw_nats.doctor.finding import Finding, note, ok, problem
from openclaw_nats.errors import RetryLater, SetupError
from openclaw_nats.gateway import tls
from openclaw_nats.installer import gateway_plugin
from openclaw_nats.installer.gateway_hooks import GatewayHooks
from openclaw_nats.installer.openclaw import CommandFailed, OpenClaw, gateway_answers, gateway_state
from openclaw_nats.locations import Locations
from openclaw_nats.plugin_files import plugin_dir
from openclaw_nats.settings import Settings
from openclaw_nats.terminal_text import plural

TESTED = ((2026, 3), (2026, 9))
SETUP = "Run `openclaw-nats setup`."
_RELOADS = 4


def openclaw(settings: Settings) -> Iterator[Finding]:
    """Everything that can be seen from the command line and OpenClaw's configuration."""
    try:
        found = OpenClaw.find()
        version = found.version
        found.config()
    except SetupError as error:
        yield problem("openclaw", str(error), error.hint)
        return
    number = tuple(int(part) for part in version.split(".")[:2])
    if TESTED[0] <= number <= TESTED[1]:
        yield ok("openclaw", f"OpenClaw {version}, {found.config_path}")
    else:
        yield note("openclaw", f"OpenClaw {version} is not one of the versions that were tested (2026.3 to 2026.9)")
    yield from _plugin(found, settings)
    yield from _gateway(found, settings)
    yield from _hooks(found, settings)


def find() -> OpenClaw | None:
    """The OpenClaw of this environment; None when there is none, which `openclaw` reports."""
    try:
        return OpenClaw.find()
    except SetupError:
        return None


def _plugin(found: OpenClaw, settings: Settings) -> Iterator[Finding]:
    entry = found.plugin_entry()
    loaded_from = [Path(path) for path in found.read().section("plugins", "load").get("paths") or []]
    if blocked := found.blocked():
        yield problem(
            "plugin", f"OpenClaw does not load the plugin: {blocked}", "Change that in OpenClaw's configuration."
        )
    if not found.installed_plugin().is_dir() and plugin_dir() not in loaded_from:
        yield problem("plugin", "the plugin is not installed in OpenClaw", SETUP)
        return
    if found.installed_plugin().is_dir() and not found.plugin_is_current(plugin_dir()):
        yield problem("plugin", "the installed plugin is of another version than this command", SETUP)
    wanted = found.wanted_entry(settings.home)
    configure = partial(found.configure_plugin, settings.home)
    if entry.get("enabled") is False:
        yield problem("plugin", "the plugin is disabled in OpenClaw's configuration", SETUP, configure)
    elif entry.get("config", {}).get("home") != wanted["config"]["home"]:
        text = f"the plugin works for {entry.get('config', {}).get('home') or 'no directory'}, not for {settings.home}"
        yield problem("plugin", text, SETUP, configure)
    else:
        yield ok("plugin", "installed, current and enabled")
    if found.asks_conversation_access and entry.get("hooks", {}).get("allowConversationAccess") is not True:
        yield problem(
            "conversation access",
            "plugins.entries.openclaw-nats.hooks.allowConversationAccess is not set: llm.output events are missing",
            SETUP,
            configure,
        )
    elif found.asks_conversation_access:
        yield ok("conversation access", "the plugin may see what its hooks need")


def _gateway(found: OpenClaw, settings: Settings) -> Iterator[Finding]:
    url = settings.gateway.url
    state = gateway_state(url)
    if state == "answers":
        yield ok("gateway", f"it answers at {url}")
        return
    if state == "silent":
        yield problem(
            "gateway",
            f"something listens at {url}, but gives no answer for 3 s",
            "A Gateway that starts or loads plugins answers again within a minute; `openclaw doctor` says more.",
        )
        return
    elsewhere = found.gateway_url()
    if elsewhere != url and gateway_answers(elsewhere):
        yield problem(
            "gateway",
            f"gateway.url is {url}, but the Gateway is at {elsewhere}",
            f"Run `openclaw-nats config set gateway.url {elsewhere}`.",
        )
    else:
        yield problem("gateway", f"nothing answers at {url}", "Start OpenClaw: `openclaw gateway start`.")


def _hooks(found: OpenClaw, settings: Settings) -> Iterator[Finding]:
    hooks = GatewayHooks(found, Locations(settings.home).hook_token)
    if todo := hooks.todo():
        yield problem("hook token", f"not as it should be: {todo}", SETUP, hooks.apply)
        return
    token = settings.hook_token()
    if not token:
        yield ok("hook token", "not needed: turns go through the plugin")
        return
    path = settings.gateway.hooks_path
    if found.hooks_path() != path:
        yield problem("hook token", f"OpenClaw's hooks.path is {found.hooks_path()}, but {path} is asked", SETUP)
        return
    status = _hook_status(settings, token)
    if status in (401, 403):
        yield problem(
            "hook token",
            "the Gateway does not accept the stored hook token",
            "Restart the Gateway if its configuration was changed, then run `openclaw-nats setup`.",
        )
    elif status in (404, 405):
        yield problem(
            "hook token",
            f"the Gateway has no hooks at {path} (it answered {status})",
            "Restart the Gateway if hooks.enabled or hooks.path was changed, then run `openclaw-nats setup`.",
        )
    elif status is not None:
        yield ok("hook token", "the Gateway accepts it")


def _hook_status(settings: Settings, token: str) -> int | None:
    """What the Gateway says to the token, by a request that can't do anything; None when it does not answer.

    Over TLS nothing is sent to a peer with another certificate than the Gateway's.
    """
    parts, certificate = urlsplit(settings.gateway.url), settings.gateway.certificate_file
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = tls.unchecked() if certificate else ssl.create_default_context()
        connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=5, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
    try:
        connection.connect()
        if certificate and isinstance(connection.sock, ssl.SSLSocket):
            shown = connection.sock.getpeercert(binary_form=True) or b""
            if hashlib.sha256(shown).digest() != tls.digest_of(certificate):
                return None
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request("POST", f"{settings.gateway.hooks_path}/agent", b"{}", headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException, RetryLater):
        return None
    finally:
        connection.close()


def _load_again(found: OpenClaw) -> None:
    for attempt in range(_RELOADS):
        try:
            gateway_plugin.reload(found)
            return
        except CommandFailed as error:
            if attempt + 1 == _RELOADS:
                text = f"the Gateway does not load the plugin again while a turn runs: {error}"
                raise SetupError(text, hint="Try again when no turn runs.") from None
        time.sleep(2)  # a turn holds the plugin for some seconds after its end


def reports(health: dict[str, Any], found: OpenClaw | None) -> Iterator[Finding]:
    """What the plugin reports to the sidecar: that it has the right key at all, its version, its spool."""
    plugin = health.get("plugin", {})
    if not plugin.get("reachable"):
        yield problem(
            "key",
            f"the plugin does not report to the sidecar: {plugin.get('lastError') or 'no reason known'}",
            "Restart the Gateway. If it stays: is another key in the Gateway's NATS_PLUGIN_API_KEY?",
        )
        return
    yield ok("key", f"the plugin {plugin['version']} and the sidecar have the same key")
    stopped = plugin.get("stoppedHooks", [])
    for text in plugin.get("problems", []):
        if any(text.startswith(f"{kind} events have stopped:") for kind in stopped):
            yield problem("hooks", text, "Update openclaw-nats and run `openclaw-nats setup`.")
        elif "allowConversationAccess" not in text:
            yield problem("plugin", text, SETUP)
        elif found and found.plugin_entry().get("hooks", {}).get("allowConversationAccess"):  # else said already
            yield problem(
                "conversation access",
                "OpenClaw's configuration grants it, but the running Gateway has not applied it: llm.output events"
                " are missing",
                "Run `openclaw plugins reload openclaw-nats` while no turn runs, or restart the Gateway.",
                partial(_load_again, found),
            )
    for text in plugin.get("notes", []):
        yield note("plugin", text)
    spool = plugin.get("spool", {})
    waiting, oldest = spool.get("events", 0), spool.get("oldestSeconds", 0.0)
    if waiting and oldest > 60:
        text = f"waiting at the Gateway: {plural(waiting, 'event')}, the oldest for {oldest:.0f} s"
        yield problem("spool", text, "Is NATS able to store? The other findings say; they are sent by themselves then.")
    else:
        yield ok("spool", "nothing waits at the Gateway" if not waiting else f"{plural(waiting, 'event')} on the way")
    if lost := spool.get("dropped", 0):
        yield note("spool", f"{plural(lost, 'event')} lost since the Gateway started: the spool or its disk was full")
    if refused := spool.get("rejected", 0):
        yield note("spool", f"{plural(refused, 'event')} refused; see spool/rejected.ndjson")
