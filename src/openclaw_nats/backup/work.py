"""Making a backup while everything runs.

The order is what keeps it consistent. The events come first, then the schedules: a tick that fired between the two is
in the schedules alone, and comes into the events once, after the restore. The database comes last: what a consumer had
acknowledged in the saved stream is then in the saved inbox. What is in both counts once.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from openclaw_nats.backup.archive import Manifest, pack
from openclaw_nats.backup.names import DATABASE, FILES, STREAMS, limit_of, stream_file
from openclaw_nats.errors import SetupError
from openclaw_nats.jetstream import snapshot as streams
from openclaw_nats.jetstream.connection import connected
from openclaw_nats.jetstream.options import Options
from openclaw_nats.settings import Settings
from openclaw_nats.storage import snapshot as database

_SECONDS = 10.0
Say = Callable[[str, str], None]


def make(settings: Settings, target: Path, say: Say) -> int:
    """Write a backup of a running installation; its size in bytes. Raises SetupError or Unavailable."""
    if os.path.lexists(target):
        raise SetupError(f"{target} exists already", hint="Name another file, or remove that one.")
    if not target.parent.is_dir():
        raise SetupError(f"{target.parent} is no directory")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".openclaw-nats-backup-") as name:
        folder = Path(name)
        manifest = Manifest(
            made_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            home=str(settings.home),
            gateway=settings.gateway_id,
        )
        asyncio.run(_save_streams(settings, folder, manifest, say))
        if (settings.home / DATABASE).exists():
            database.copy(settings.home / DATABASE, folder / DATABASE)
            say("Inbox", "routes, deliveries, receipts")
        for file in FILES:
            if (settings.home / file).exists():
                _copy(settings.home / file, folder / file)
        say("Settings", "config.toml, keys, what setup noted")
        return pack(target, folder, manifest)


async def _save_streams(settings: Settings, folder: Path, manifest: Manifest, say: Say) -> None:
    async with connected(Options.from_settings(settings), _SECONDS) as connection:
        for stream in reversed(STREAMS):
            saved = await streams.save(connection, stream, folder / stream_file(stream))
            if saved is not None:
                manifest.streams[stream] = saved
                say("Stream", f"{stream}: {saved['state']['messages']} messages")


def _copy(source: Path, target: Path) -> None:
    limit = limit_of(source.name)
    if limit is not None and source.stat().st_size > limit:
        raise SetupError(f"{source} is larger than {limit >> 10} KiB, which a restore would refuse")
    descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with source.open("rb") as file, os.fdopen(descriptor, "wb") as copy:
        shutil.copyfileobj(file, copy)
