"""Undoing setup: the service, the plugin, our entries in OpenClaw's configuration, and what we kept for that."""

from __future__ import annotations

import shutil
from typing import Any

from openclaw_nats.installer import gateway_hooks, gateway_plugin, json5_text
from openclaw_nats.installer.config_meaning import meaning, without_plugin
from openclaw_nats.installer.docker import DockerCompose
from openclaw_nats.installer.openclaw import PLUGIN_ID, OpenClaw
from openclaw_nats.installer.services import service_for
from openclaw_nats.installer.setup import read_record
from openclaw_nats.locations import Locations
from openclaw_nats.plugin_files import plugin_dir
from openclaw_nats.service.files import replace_file


def uninstall(openclaw: OpenClaw | None, where: Locations, *, purge: bool) -> list[str]:
    """Undo setup: service, plugin, OpenClaw's configuration; with `purge` our state too. Returns what was done.

    Without `openclaw` (it may have been removed before us) only our own parts go.
    """
    record = read_record(where)
    done = []
    service = service_for(where, record.get("service", ""))
    if record.get("service") or service.running():
        service.remove()
        if purge and isinstance(service, DockerCompose):
            service.purge()
        done.append(f"stopped the service ({service.kind})")
    if openclaw is not None:
        if gateway_plugin.is_there(openclaw):
            gateway_plugin.uninstall(openclaw, plugin_dir())
            done.append("removed the plugin from OpenClaw")
        if gateway_hooks.restore(openclaw, record.get("hooksBefore"), record.get("hooksSet")):
            done.append("restored the hooks settings of OpenClaw")
        done += _restore_config(openclaw, where, record)
    for path in (where.setup_record, where.openclaw_backup, where.plugin_settings, where.hook_token):
        path.unlink(missing_ok=True)
    shutil.rmtree(where.staged_plugin, ignore_errors=True)
    if purge and where.home.exists():
        shutil.rmtree(where.home)
        done.append(f"deleted {where.home} with its events")
    elif where.home.exists():
        done.append(f"kept {where.home} (events, settings, key); `uninstall --purge` deletes it")
    for aside in sorted(where.home.parent.glob(f"{where.home.name}.before-restore-*")):
        done.append(f"kept {aside}, which `restore` moved aside, with its keys and events: delete it yourself")
    return done


def _restore_config(openclaw: OpenClaw, where: Locations, record: dict[str, Any]) -> list[str]:
    """What is left of ours in the configuration goes: at once with its old bytes, unless others have changed it."""
    path, kept = openclaw.config_path, ""
    original = where.openclaw_backup.read_bytes() if where.openclaw_backup.exists() else None
    if record.get("openclawConfig") and path.exists():
        if not record.get("existed"):
            kept = "OpenClaw had no configuration file before; what it wrote meanwhile was kept"
        elif original is not None:
            if _said(openclaw.read().authored) == _said(json5_text.decode(original)):
                if path.read_bytes() != original:
                    replace_file(path, original)
                if mode := record.get("openclawConfigMode"):
                    path.chmod(mode)
                return ["OpenClaw's configuration is byte for byte as it was"]
            kept = f"{path} was changed by others meanwhile: our entries were removed, the rest was kept"
    gateway_plugin.drop_leftovers(openclaw)
    return [kept] if kept else []


def _said(config: dict[str, Any]) -> dict[str, Any]:
    return meaning(without_plugin(config, PLUGIN_ID))
