"""Undoing a setup that failed or was killed: everything as it was before that run, byte for byte where nobody else
has written meanwhile.

Each part is undone for itself: what fails is reported, and keeps nothing else from being undone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from openclaw_nats.errors import OpenClawNatsError
from openclaw_nats.installer import gateway_plugin, json5_text, undo
from openclaw_nats.installer.config_meaning import HOOKS, digest_without_ours
from openclaw_nats.installer.openclaw import COMMAND_OF, PLUGIN_ID, OpenClaw, fingerprint
from openclaw_nats.installer.services import Service, SystemdUser, service_for
from openclaw_nats.installer.undo import Before, Saved
from openclaw_nats.locations import Locations
from openclaw_nats.plugin_files import plugin_dir
from openclaw_nats.service.files import replace_file

_ORPHAN_SECONDS = 60.0
_POLL = 0.2


@dataclass
class Report:
    """What was undone, and what could not be."""

    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def take_back(where: Locations, before: Before, openclaw: OpenClaw | None, *, last_try: bool = False) -> Report:
    """Undo the run that wrote `before`; without `openclaw` (its command is missing) its files are put back even so.

    What was written down is kept for another try when something could not be undone, unless this is the last one.
    """
    report = Report()
    _wait_for_commands(before)
    service = service_for(where, before.service)
    with _noting(report, "the service"):
        _stop_service(where, before, service, report)
    if openclaw is not None:
        with _noting(report, "the plugin"):
            _undo_plugin(where, before, openclaw, report)
    with _noting(report, "OpenClaw's configuration"):
        _undo_config(where, before, openclaw, report)
    with _noting(report, str(where.home)):
        _undo_files(where, before, service, report)
    if before.running and before.home_existed:
        with _noting(report, "the service as it was before"):
            _start_service(where, before, report)
    if last_try or not report.failed:
        undo.forget(where)
        if not before.home_existed and where.home.exists():
            shutil.rmtree(where.home, ignore_errors=True)
    return report


@contextlib.contextmanager
def _noting(report: Report, what: str) -> Iterator[None]:
    try:
        yield
    except (OpenClawNatsError, OSError) as error:
        report.failed.append(f"{what}: {error}")


# The service ---------------------------------------------------------------------------------------------------


def _stop_service(where: Locations, before: Before, service: Service, report: Report) -> None:
    """Stop what this run started or changed; a service that is as it was is left alone."""
    if before.running and service.running() and not _changed(where, before, service):
        return
    was_running = service.running()
    if before.installed and before.service_before in ("", service.kind):
        service.stop()
    else:
        service.remove()
    if was_running:
        report.done.append("stopped nats-server and the sidecar")


def _start_service(where: Locations, before: Before, report: Report) -> None:
    service = service_for(where, before.service_before)
    if service.running():
        return
    if before.service_before != before.service:
        service.install()
    service.start()
    report.done.append("started the service again as it was")


def _changed(where: Locations, before: Before, service: Service) -> bool:
    """Whether anything that the service reads at its start is not as it was, or it is of another kind."""
    names = {str(path) for path in (where.config, where.api_key, where.nats_password, getattr(service, "path", ""))}
    changed = any(_differs(where, one) for one in before.files if one.path in names)
    return changed or before.service_before not in ("", service.kind)


# OpenClaw ------------------------------------------------------------------------------------------------------


def _undo_plugin(where: Locations, before: Before, openclaw: OpenClaw, report: Report) -> None:
    installed = openclaw.installed_plugin()
    if not before.plugin:
        if installed.exists() or _has_record(openclaw):
            _or_by_hand(lambda: gateway_plugin.uninstall(openclaw, plugin_dir()), lambda: shutil.rmtree(installed))
            report.done.append("removed the plugin from OpenClaw")
        return
    copy = undo.saved_copy(where, before.plugin)
    if installed.is_dir() and fingerprint(installed) == fingerprint(copy):
        return

    def by_hand() -> None:
        shutil.rmtree(installed, ignore_errors=True)
        shutil.copytree(copy, installed, symlinks=True)

    _or_by_hand(lambda: gateway_plugin.install(openclaw, copy), by_hand)
    report.done.append("installed the plugin again that was there before")


def _has_record(openclaw: OpenClaw) -> bool:
    """Whether OpenClaw's configuration knows the plugin; what can't be read is put back as a file anyway."""
    try:
        return gateway_plugin.is_there(openclaw)
    except OpenClawNatsError:
        return False


def _or_by_hand(through_openclaw: Callable[[], object], by_hand: Callable[[], None]) -> None:
    """By OpenClaw's own command; where that fails (it may be why setup failed), its files themselves."""
    try:
        through_openclaw()
    except OpenClawNatsError:
        with contextlib.suppress(FileNotFoundError):
            by_hand()


def _undo_config(where: Locations, before: Before, openclaw: OpenClaw | None, report: Report) -> None:
    changed = [one for one in before.files if one.openclaws and _differs(where, one)]
    if not changed:
        return
    if openclaw is not None and digest_without_ours(openclaw.config(), PLUGIN_ID) != before.digest:
        text = f"{before.config_path} was changed by others meanwhile: our entries were removed, the rest was kept"
        gateway_plugin.drop_leftovers(openclaw)
        _undo_hooks(where, before, openclaw)
        report.done.append(text)
        return
    for one in changed:
        _put_back(where, one)
    report.done.append("restored OpenClaw's configuration")


def _undo_hooks(where: Locations, before: Before, openclaw: OpenClaw) -> None:
    """Take what setup sets in `hooks` back, key by key; a token that was there before was never changed."""
    copy = next((one.copy for one in before.files if one.path == os.path.realpath(before.config_path)), "")
    old = json5_text.decode(undo.saved_copy(where, copy).read_bytes()).get("hooks", {}) if copy else {}
    now = openclaw.read().authored.get("hooks", {})
    for name in HOOKS if isinstance(now, dict) and isinstance(old, dict) else ():
        if name in now and name not in old:
            openclaw.unset_config(f"hooks.{name}")
        elif name != "token" and now.get(name) != old.get(name):
            openclaw.set_config(f"hooks.{name}", old[name])


# Our own files -------------------------------------------------------------------------------------------------


def _undo_files(where: Locations, before: Before, service: Service, report: Report) -> None:
    changed = [one for one in before.files if not one.openclaws and _differs(where, one)]
    new = [one for one in where.home.iterdir() if one.name not in before.names and one != where.undo]
    for one in changed:
        _put_back(where, one)
    for path in new:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    unit = getattr(service, "path", None)
    if isinstance(service, SystemdUser) and any(one.path == str(unit) for one in changed):
        service.read_again()
    if not before.home_existed:
        report.done.append(f"deleted {where.home}, which was not there before")
    elif changed or new:
        report.done.append(f"restored the files in {where.home}")


def _differs(where: Locations, one: Saved) -> bool:
    path = Path(one.path)
    if not one.copy:
        return path.exists()
    return not path.is_file() or path.read_bytes() != undo.saved_copy(where, one.copy).read_bytes()


def _put_back(where: Locations, one: Saved) -> None:
    path = Path(one.path)
    if not one.copy:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_file(path, undo.saved_copy(where, one.copy).read_bytes())
    path.chmod(one.mode)


# What still runs -----------------------------------------------------------------------------------------------


def _wait_for_commands(before: Before) -> None:
    """Wait for `openclaw` commands that outlived a setup which was killed: they would write again what is undone."""
    deadline = time.monotonic() + _ORPHAN_SECONDS
    mark = f"{COMMAND_OF}={before.pid}".encode()
    while time.monotonic() < deadline and _marked(mark):
        time.sleep(_POLL)


def _marked(mark: bytes) -> bool:
    """Whether a process of ours has this in its environment (Linux; elsewhere that can't be seen)."""
    proc = Path("/proc")
    for folder in proc.iterdir() if proc.is_dir() else []:
        if not folder.name.isdecimal() or int(folder.name) == os.getpid():
            continue
        try:
            found = mark in (folder / "environ").read_bytes().split(b"\0")
            if found and b"gateway" not in (folder / "cmdline").read_bytes():  # a Gateway may have come of it
                return True
        except OSError:
            continue
    return False
