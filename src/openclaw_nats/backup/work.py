"""Making a backup while everything runs, and putting one back.

The streams come first, then the database: what a consumer had acknowledged in the saved stream is then in the saved
inbox. The other way round, an event could be acknowledged in the one and missing in the other. What is in both counts
once.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from openclaw_nats.backup.archive import Manifest, pack, unpack
from openclaw_nats.errors import SetupError
from openclaw_nats.installer import nats_server
from openclaw_nats.installer.docker import DockerCompose
from openclaw_nats.installer.services import service_for
from openclaw_nats.installer.setup import read_record
from openclaw_nats.jetstream import snapshot as streams
from openclaw_nats.jetstream.connection import Options, connected
from openclaw_nats.jetstream.streams import DEAD_LETTERS, EVENTS, SCHEDULES
from openclaw_nats.service.files import write_private
from openclaw_nats.service.locations import Locations
from openclaw_nats.service.nats_config import render
from openclaw_nats.settings import Settings, load
from openclaw_nats.storage import snapshot as database

# In the order in which they are put back: the events stream takes from the schedules.
STREAMS = (SCHEDULES, DEAD_LETTERS, EVENTS)
FILES = (
    "config.toml",
    "api-key",
    "nats-password",
    "hook-token",
    "identity-key",
    "setup.json",
    "openclaw.json.before",
    "migrate.json",
)
DATABASE = "sidecar.db"
GATEWAYS = ("spool", "plugin.json")
_SECONDS = 10.0
Say = Callable[[str, str], None]


def make(settings: Settings, target: Path, say: Say) -> int:
    """Write a backup of a running installation; its size in bytes. Raises SetupError or Unavailable."""
    if target.exists():
        raise SetupError(f"{target} exists already", hint="Name another file, or remove that one.")
    if not target.parent.is_dir():
        raise SetupError(f"{target.parent} is no directory")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".openclaw-nats-backup-") as name:
        folder = Path(name)
        manifest = Manifest(made_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), home=str(settings.home))
        asyncio.run(_save_streams(settings, folder, manifest, say))
        if (settings.home / DATABASE).exists():
            database.copy(settings.home / DATABASE, folder / DATABASE)
            say("Inbox", "routes, deliveries, receipts")
        for file in FILES:
            if (settings.home / file).exists():
                shutil.copyfile(settings.home / file, folder / file)
        say("Settings", "config.toml, keys, what setup noted")
        return pack(target, folder, manifest)


async def _save_streams(settings: Settings, folder: Path, manifest: Manifest, say: Say) -> None:
    async with connected(Options.from_settings(settings), _SECONDS) as connection:
        for stream in STREAMS:
            saved = await streams.save(connection, stream, folder / f"{stream}.stream")
            if saved is not None:
                manifest.streams[stream] = saved
                say("Stream", f"{stream}: {saved['state']['messages']} messages")


def put_back(source: Path, home: Path, say: Say) -> Path | None:
    """Replace what is in `home` by a backup; where the former state was put, None when there was none.

    The service must not run. With a NATS of its own the streams are put back into that; into another one only when it
    has no stream of that name. What fails leaves everything as it was.
    """
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=".openclaw-nats-restore-") as name:
        folder = Path(name)
        manifest = unpack(source, folder)
        if (folder / DATABASE).exists():
            database.check(folder / DATABASE)
        say("Backup", f"of {manifest.home}, made {manifest.made_at} by {manifest.version}: it is whole")
        before = _set_aside(home)
        try:
            home.mkdir(mode=0o700, exist_ok=True)
            for path in folder.iterdir():
                if path.suffix != ".stream":
                    _place(path, home / path.name, manifest.home, str(home))
            say("Settings", "put back")
            settings = load(home)
            with _nats_running(settings):
                asyncio.run(_restore_streams(settings, folder, manifest, say))
        except BaseException:
            _take_back(home, before)
            raise
        return before


async def _restore_streams(settings: Settings, folder: Path, manifest: Manifest, say: Say) -> None:
    async with connected(Options.from_settings(settings), _SECONDS) as connection:
        if taken := await streams.existing(connection, manifest.streams):
            raise SetupError(
                f"this NATS has {' and '.join(taken)} already, which a backup does not replace",
                hint="If nobody needs them, remove them there (`nats stream rm <name>`), then run this again.",
            )
        for stream in STREAMS:
            if stream in manifest.streams:
                saved = manifest.streams[stream]
                count = await streams.restore(connection, stream, folder / f"{stream}.stream", saved)
                say("Stream", f"{stream}: {count} messages")


def _set_aside(home: Path) -> Path | None:
    """Move a state directory out of the way; nothing of it is deleted. What the Gateway is using stays."""
    if not home.exists() or not any(home.iterdir()):
        return None
    aside = home.with_name(f"{home.name}.before-restore-{time.strftime('%Y%m%d-%H%M%S')}")
    home.rename(aside)
    _keep_with_gateway(aside, home)
    return aside


def _take_back(home: Path, before: Path | None) -> None:
    """After a failure: the state directory as it was."""
    if before is not None:
        _keep_with_gateway(home, before)
    shutil.rmtree(home, ignore_errors=True)
    if before is not None:
        before.rename(home)


def _keep_with_gateway(old: Path, new: Path) -> None:
    """Move what the plugin of a running Gateway has open: events that wait in its spool belong to no backup."""
    new.mkdir(mode=0o700, exist_ok=True)
    for name in GATEWAYS:
        if (old / name).exists():
            (old / name).rename(new / name)


def _place(path: Path, target: Path, old_home: str, new_home: str) -> None:
    """A file in its place, mode 0600; paths into the old state directory become paths into this one."""
    if path.name == "config.toml":
        write_private(target, path.read_text().replace(old_home, new_home))
        return
    shutil.copyfile(path, target)
    target.chmod(0o600)


@contextmanager
def _nats_running(settings: Settings):  # type: ignore[no-untyped-def]
    """nats-server alone, without the sidecar, which would make the streams that are to be restored."""
    if not settings["nats.managed"]:
        yield
        return
    where = Locations(settings.home)
    service = service_for(where, read_record(where).get("service", ""))
    if isinstance(service, DockerCompose):
        service.install()
        service.start_nats()
        try:
            yield
        finally:
            service.stop()
        return
    where.logs.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(where.nats_config, render(settings))
    process = subprocess.Popen(
        [str(nats_server.find()[0]), "-c", str(where.nats_config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=dict(os.environ),
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)
