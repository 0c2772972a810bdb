"""How everything was before a setup began, on disk, so that a setup which fails, or is killed, can be undone.

`begin` writes it before the first change and holds a lock for as long as setup runs; the process's end lets it go,
however it ends. A record without a holder is what a killed setup left: `take_back` (installer/take_back.py) reads it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import IO, Any

from openclaw_nats.errors import SetupError
from openclaw_nats.installer.config_meaning import digest_without_ours
from openclaw_nats.installer.openclaw import PLUGIN_ID, OpenClaw
from openclaw_nats.installer.services import Service
from openclaw_nats.locations import Locations
from openclaw_nats.service.files import write_private

_RECORD, _LOCK = "before.json", "lock"


@dataclass
class Saved:
    """One file as it was: `copy` is the name of its copy, empty for a file that did not exist."""

    path: str
    copy: str = ""
    mode: int = 0o600
    openclaws: bool = False  # part of OpenClaw's configuration


@dataclass
class Before:
    """How everything was."""

    pid: int
    home_existed: bool
    names: list[str]  # what was in our folder
    service: str  # the kind that setup is about to use
    service_before: str  # the kind that was noted; empty when there was none
    running: bool
    installed: bool  # whether its unit or the like was there
    plugin: str  # the name of the plugin's copy; empty when it was not installed
    config_path: str
    digest: str  # of OpenClaw's configuration without what is ours
    files: list[Saved] = field(default_factory=list)


@contextlib.contextmanager
def begin(where: Locations, openclaw: OpenClaw, service: Service, noted: str, *, running: bool) -> Iterator[None]:
    """Write down how everything is, and lend the lock; what was written goes when the body ends without an error.

    `noted` and `running` tell of the service as it was. Raises SetupError when another setup is running, OSError when
    it can't be written: then nothing is left of it.
    """
    existed = where.home.exists()
    names = sorted(one.name for one in where.home.iterdir() if one != where.undo) if existed else []
    unit = getattr(service, "path", None)
    try:
        lock = _lock(where)
    except OSError:
        _drop_folder(where, home_existed=existed)
        raise
    with lock:
        try:
            before = Before(
                pid=os.getpid(),
                home_existed=existed,
                names=names,
                service=service.kind,
                service_before=noted,
                running=running,
                installed=bool(noted) or (isinstance(unit, Path) and unit.exists()),
                plugin=_copy_plugin(where, openclaw),
                config_path=str(openclaw.config_path),
                digest=digest_without_ours(openclaw.config(), PLUGIN_ID),
            )
            before.files = [
                _save(where, number, path, openclaws=openclaws)
                for number, (path, openclaws) in enumerate(_files(where, openclaw, unit))
            ]
            write_private(where.undo / _RECORD, json.dumps(asdict(before)) + "\n")
        except BaseException:
            _drop_folder(where, home_existed=existed)
            raise
        yield
        forget(where)


def left_behind(where: Locations) -> Before | None:
    """What a setup that was killed has left; None when there is nothing. Raises SetupError while one is under way."""
    if not where.undo.exists():
        return None
    with _lock(where):
        if (found := read(where)) is None:  # it was killed before its first change
            only = [one.name for one in where.home.iterdir()] == [where.undo.name]
            _drop_folder(where, home_existed=not only)
        return found


def read(where: Locations) -> Before | None:
    """The record, if it is complete."""
    try:
        values: dict[str, Any] = json.loads((where.undo / _RECORD).read_text("utf-8", "surrogateescape"))
        known = {one.name: values[one.name] for one in fields(Before)}  # a setup of another release may have noted more
        return Before(**known | {"files": [Saved(**one) for one in values["files"]]})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def forget(where: Locations) -> None:
    """Nothing is to be undone any more."""
    (where.undo / _RECORD).unlink(missing_ok=True)  # first: half a folder must not look like a record
    shutil.rmtree(where.undo, ignore_errors=True)


def saved_copy(where: Locations, name: str) -> Path:
    """Where a copy lies."""
    return where.undo / name


def _lock(where: Locations) -> IO[str]:
    where.undo.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = (where.undo / _LOCK).open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        found = read(where)
        who = f" (process {found.pid})" if found else ""
        raise SetupError(
            f"another setup of {where.home.parent} is running{who}", hint="Wait until it has ended."
        ) from None
    return file


def _files(where: Locations, openclaw: OpenClaw, unit: Path | None) -> list[tuple[Path, bool]]:
    """Every single file that setup, or what it starts, may write over, and whether it is OpenClaw's."""
    ours = [
        where.config,
        where.api_key,
        where.nats_password,
        where.nats_nkey,
        where.nats_config,
        where.plugin_settings,
        where.setup_record,
        where.openclaw_backup,
        where.hook_token,
        *([unit] if unit is not None else []),
    ]
    theirs = [openclaw.config_path, *(path for path, _ in openclaw.read().files if path.name != ".env")]
    real = dict.fromkeys(Path(os.path.realpath(path)) for path in theirs)
    return [*((path, False) for path in ours), *((path, True) for path in real)]


def _save(where: Locations, number: int, path: Path, *, openclaws: bool) -> Saved:
    if not path.is_file():
        return Saved(str(path), openclaws=openclaws)
    copy = f"file-{number}"
    content = path.read_bytes().decode("utf-8", "surrogateescape")
    write_private(where.undo / copy, content)
    return Saved(str(path), copy, path.stat().st_mode & 0o7777, openclaws)


def _copy_plugin(where: Locations, openclaw: OpenClaw) -> str:
    installed = openclaw.installed_plugin()
    if not installed.is_dir():
        return ""
    copy = where.undo / "plugin"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(installed, copy, ignore=shutil.ignore_patterns("node_modules", "__pycache__"), symlinks=True)
    return copy.name


def _drop_folder(where: Locations, *, home_existed: bool) -> None:
    shutil.rmtree(where.undo, ignore_errors=True)
    if not home_existed:
        with contextlib.suppress(OSError):
            where.home.rmdir()
