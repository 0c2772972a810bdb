"""Our plugin in OpenClaw: put there, loaded again by the running Gateway, and removed.

What an OpenClaw can do is read from its own help, and what a failed command has left is looked at: no error's words are
interpreted, which change from release to release. (2026.3 has no `--force`, `--accept-capabilities` came with 2026.8,
`plugins reload` with 2026.9.)
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from openclaw_nats.errors import SetupError
from openclaw_nats.installer.openclaw import PLUGIN_ID, CommandFailed, OpenClaw, gateway_answers

# Of the releases that were tried, the first that has it; asked for where a release shows no help.
_FLAGS_SINCE = {"--force": (2026, 6), "--accept-capabilities": (2026, 8)}
_UNINSTALL_TRIES = 3
_PAUSE_SECONDS = 2.0  # a turn holds the plugin for some seconds after its end


def install(openclaw: OpenClaw, source: Path) -> bool:
    """Install the plugin from a folder, over an older one if there is.

    Returns False when the files are in place but the running Gateway did not load them (since 2026.9 a turn keeps it
    from that): `reload` is due. Raises SetupError when OpenClaw refuses it; what was installed before is still there
    then.
    """
    installed, aside = openclaw.installed_plugin(), openclaw.state_dir / "nats" / "plugin-before"
    flags = _known(openclaw, ("--force", "--accept-capabilities"), "install")
    if "--force" not in flags and installed.exists():  # this version refuses to install over one
        shutil.rmtree(aside, ignore_errors=True)
        aside.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(installed, aside)
    try:
        openclaw.run("plugins", "install", str(source), *flags)
    except CommandFailed as error:
        if openclaw.plugin_is_current(source) and gateway_answers(openclaw.gateway_url()):
            return False
        if aside.exists() and not installed.exists():
            shutil.move(aside, installed)
        raise SetupError(
            f"OpenClaw did not install the plugin: {error}",
            hint="If a turn runs, try again when it is done; `openclaw doctor` may say more.",
        ) from None
    shutil.rmtree(aside, ignore_errors=True)
    if not installed.is_dir():
        raise SetupError(f"OpenClaw did not install the plugin: {installed} is not there afterwards")
    return True


def _known(openclaw: OpenClaw, flags: tuple[str, ...], command: str) -> list[str]:
    """Those of the flags that `openclaw plugins COMMAND` knows."""
    return [flag for flag in flags if openclaw.has_option(flag, "plugins", command, since=_FLAGS_SINCE[flag])]


def reload(openclaw: OpenClaw) -> bool:
    """Have the running Gateway load the plugin and its configuration again; False where OpenClaw has no such command.

    Raises CommandFailed when the Gateway does not do it now: a turn that runs keeps it from that.
    """
    if not openclaw.has_command("reload", "plugins"):
        return False
    openclaw.run("plugins", "reload", PLUGIN_ID, *_known(openclaw, ("--accept-capabilities",), "reload"))
    return True


def is_there(openclaw: OpenClaw) -> bool:
    """Whether anything of the plugin is in OpenClaw: its folder, its entry, or its place in the list of plugins."""
    plugins = openclaw.config().get("plugins", {})
    listed = PLUGIN_ID in plugins.get("entries", {}) or PLUGIN_ID in (plugins.get("allow") or [])
    return listed or openclaw.installed_plugin().exists()


def uninstall(openclaw: OpenClaw, source: Path) -> None:
    """Remove the plugin from OpenClaw, also when its folder or OpenClaw's record of it has been removed by hand.

    What some versions leave of it in the configuration stays for the caller (`drop_leftovers`). Raises CommandFailed
    when something else of it is still there afterwards.
    """
    installed = openclaw.installed_plugin()
    if not installed.exists() and openclaw.plugin_entry().get("config"):
        # 2026.9 holds on to the settings of a plugin whose folder is missing: it is put back, to be removed in order.
        install(openclaw, source)
    failure: CommandFailed | None = None
    for attempt in range(_UNINSTALL_TRIES):
        try:
            openclaw.run("plugins", "uninstall", PLUGIN_ID, "--force")
        except CommandFailed as error:
            failure = error
            if not gateway_answers(openclaw.gateway_url()):
                break  # it was no turn that kept the Gateway from letting go of it
            if attempt + 1 < _UNINSTALL_TRIES:
                time.sleep(_PAUSE_SECONDS)
        else:
            break
    if installed.is_dir():
        shutil.rmtree(installed)
    if failure is not None:
        drop_leftovers(openclaw)
        if is_there(openclaw):
            raise failure


def drop_leftovers(openclaw: OpenClaw) -> None:
    """Some versions leave an `enabled: false` entry, or our id in a list, after uninstalling."""
    plugins = openclaw.config().get("plugins", {})
    if PLUGIN_ID in (plugins.get("allow") or []):
        openclaw.set_config("plugins.allow", [name for name in plugins["allow"] if name != PLUGIN_ID])
    if PLUGIN_ID in plugins.get("entries", {}):
        openclaw.run("config", "unset", f"plugins.entries.{PLUGIN_ID}")
