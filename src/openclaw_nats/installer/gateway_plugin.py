"""Our plugin in OpenClaw: put there, loaded anew by the running Gateway, and taken out again."""

from __future__ import annotations

import shutil
from pathlib import Path

from openclaw_nats.errors import SetupError
from openclaw_nats.installer.openclaw import PLUGIN_ID, CommandFailed, OpenClaw

# What 2026.9 answers while a turn runs that the loaded plugin has a part in.
_BUSY = "active retained work"
_UNTRACKED = ("not associated with a tracked", "is not managed by")


def install(openclaw: OpenClaw, source: Path) -> bool:
    """Install the plugin from a folder, over an older one if there is.

    Returns False when a turn keeps the running Gateway from loading it: the files are in place, `reload` is due.
    Raises SetupError when OpenClaw refuses it; what was installed before is still there then.
    """
    installed, aside = openclaw.installed_plugin(), openclaw.state_dir / "nats" / "plugin-before"
    for flags in (["--force", "--accept-capabilities"], ["--force"], []):
        if not flags and installed.exists():  # 2026.3 refuses to install over one, and has no --force
            shutil.rmtree(aside, ignore_errors=True)
            shutil.move(installed, aside)
        try:
            openclaw.run("plugins", "install", str(source), *flags)
        except CommandFailed as error:
            if _BUSY in error.output and openclaw.plugin_is_current(source):
                return False
            if flags and error.is_unknown:
                continue
            if not flags and aside.exists() and not installed.exists():
                shutil.move(aside, installed)
            hint = (
                "A turn runs; try again when it is done." if _BUSY in error.output else "`openclaw doctor` may say why."
            )
            raise SetupError(f"OpenClaw did not install the plugin: {error}", hint=hint) from None
        break
    shutil.rmtree(aside, ignore_errors=True)
    if not installed.is_dir():
        raise SetupError(f"OpenClaw did not install the plugin: {installed} is not there afterwards")
    return True


def reload(openclaw: OpenClaw) -> bool | None:
    """Have the running Gateway load the plugin and its configuration anew.

    Returns False while a turn runs that keeps it from doing so, None where OpenClaw (before 2026.9) can't.
    """
    for flags in (["--accept-capabilities"], []):
        try:
            openclaw.run("plugins", "reload", PLUGIN_ID, *flags)
        except CommandFailed as error:
            if _BUSY in error.output:
                return False
            if not error.is_unknown:
                raise
            continue
        return True
    return None


def is_there(openclaw: OpenClaw) -> bool:
    """Whether anything of the plugin is in OpenClaw: its folder, its entry, or its place in the list of plugins."""
    plugins = openclaw.config().get("plugins", {})
    listed = PLUGIN_ID in plugins.get("entries", {}) or PLUGIN_ID in (plugins.get("allow") or [])
    return listed or openclaw.installed_plugin().exists()


def uninstall(openclaw: OpenClaw, source: Path) -> None:
    """Take the plugin out of OpenClaw, also when its folder or OpenClaw's record of it has been removed by hand."""
    installed = openclaw.installed_plugin()
    if not installed.exists() and openclaw.plugin_entry().get("config"):
        # 2026.9 holds on to the settings of a plugin whose folder is missing: it is put back, to be removed in order.
        install(openclaw, source)
    try:
        openclaw.run("plugins", "uninstall", PLUGIN_ID, "--force")
    except CommandFailed as error:
        if installed.exists() and not any(words in error.output for words in _UNTRACKED):
            raise
    if installed.is_dir():
        shutil.rmtree(installed)
    _drop_leftovers(openclaw)


def _drop_leftovers(openclaw: OpenClaw) -> None:
    """Some versions leave an `enabled: false` entry, or our id in a list, after uninstalling."""
    plugins = openclaw.config().get("plugins", {})
    if PLUGIN_ID in (plugins.get("allow") or []):
        openclaw.set_config("plugins.allow", [name for name in plugins["allow"] if name != PLUGIN_ID])
    if PLUGIN_ID in plugins.get("entries", {}):
        openclaw.run("config", "unset", f"plugins.entries.{PLUGIN_ID}")
