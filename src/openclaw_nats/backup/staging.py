"""Building a state directory out of an unpacked backup, next to the one that is in use.

With a NATS of our own its streams are restored by a nats-server that runs for that alone, on a port of its own, so that
what is in use goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from openclaw_nats.alerts import book as alerts
from openclaw_nats.audit.chain import Head
from openclaw_nats.backup.archive import Manifest, sync_folder
from openclaw_nats.backup.names import DATABASE, FILES, STREAMS, stream_file
from openclaw_nats.errors import InvalidBackup, OpenClawNatsError, SetupError
from openclaw_nats.installer import config_file, nats_server
from openclaw_nats.jetstream import snapshot as streams
from openclaw_nats.jetstream.connection import Connection, connected
from openclaw_nats.jetstream.options import Options
from openclaw_nats.jetstream.streams import EVENTS, SCHEDULES
from openclaw_nats.keys import file as limited_keys
from openclaw_nats.locations import Locations
from openclaw_nats.port_holder import free_port
from openclaw_nats.service import audit_files
from openclaw_nats.service.files import write_private
from openclaw_nats.service.identity_key import identity_key, secret_key
from openclaw_nats.service.nats_config import render
from openclaw_nats.settings import REGISTRY, Settings, changed, load, value_of
from openclaw_nats.sources import book as sources
from openclaw_nats.storage import approvals, inbox
from openclaw_nats.storage import snapshot as database
from openclaw_nats.storage.database import Connection as Rows
from openclaw_nats.storage.database import Database

SECONDS = 10.0
_WITHDRAWN = "a backup was restored, and the call may have run since it was made; who needs it asks again"
_DOCUMENTS = ("setup.json", "migrate.json")
_STOP_SECONDS = 30.0


def check(parts: Path) -> None:
    """Look into every part of an unpacked backup; raise InvalidBackup, which names the part."""
    if (parts / DATABASE).exists():
        database.check(parts / DATABASE)
    for name in _DOCUMENTS:
        if (parts / name).exists():
            _check_document(parts / name)
    try:
        load(parts, {})
        if (parts / "identity-key").exists():
            identity_key(parts)
        if (parts / audit_files.KEY).exists():
            secret_key(parts, audit_files.KEY, "")
        limited_keys.read(Locations(parts).limited_keys)
        sources.read(Locations(parts).sources)
        alerts.read(Locations(parts).alerts)
        for name in FILES:
            if (parts / name).exists():
                (parts / name).read_text("utf-8")
    except (OpenClawNatsError, UnicodeDecodeError) as error:
        text = str(error).replace(f"{parts}/", "")
        raise InvalidBackup(f"the backup can't be used: {text}", hint=getattr(error, "hint", "")) from None


def _check_document(path: Path) -> None:
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InvalidBackup(f"the backup can't be used: {path.name} holds no JSON object")


def settle(parts: Path, new: Path, home: Path, manifest: Manifest) -> Settings:
    """Move the files into the new state directory; paths into the old one lead into `home`. Its settings."""
    for name in (*FILES, DATABASE):
        if (parts / name).exists():
            (parts / name).rename(new / name)
    changes = {}
    if (new / "config.toml").exists():
        settings = load(new, {})
        for name, value in _texts(settings):
            if settings.origins[name] != "default" and value.startswith(manifest.home + "/"):
                changes[name] = json.dumps(str(home) + value[len(manifest.home) :], ensure_ascii=False)
    if manifest.gateway and load(new).gateway_id != manifest.gateway:
        changes["gateway.id"] = json.dumps(manifest.gateway, ensure_ascii=False)  # it was the old machine's name
    if changes:
        config_file.set_values(new / "config.toml", changes)
    return settings_in(new, home)


def settings_in(new: Path, home: Path) -> Settings:
    """The settings of a state directory that is not in its place yet: files of its own are where they are now."""
    settings = load(new)
    here = {}
    for name, value in _texts(settings):
        if value.startswith(f"{home}/") and (moved := new / value[len(f"{home}/") :]).exists():
            here[name] = str(moved)
    return changed(settings, here)


def _texts(settings: Settings) -> Iterator[tuple[str, str]]:
    """The settings that are text, among which are all that name files."""
    for one in REGISTRY:
        if isinstance(value := value_of(settings, one.name), str):
            yield one.name, value


async def restore_streams(connection: Connection, parts: Path, manifest: Manifest, made: dict[str, str]) -> list[str]:
    """Put all streams into a NATS that has none of them; a line for each.

    `made` gets by what each stream can be known: before it is there its mark, then when it was made.
    """
    lines = []
    mark = secrets.token_hex(16)
    for stream in STREAMS:
        if stream not in manifest.streams:
            continue
        saved = manifest.streams[stream]
        made[stream] = mark
        count, made[stream] = await streams.restore(connection, stream, parts / stream_file(stream), saved, mark)
        await streams.unmark(connection, stream)
        await streams.add_sources(connection, stream, saved, manifest.streams.get(SCHEDULES, {}))
        lines.append(f"{stream}: {count} messages")
    return lines


def follow_events(new: Path, manifest: Manifest, made: dict[str, str]) -> None:
    """Let the database know in which stream its events are now."""
    if EVENTS in made and (new / DATABASE).exists():
        database.follow(new / DATABASE, str(manifest.streams[EVENTS].get("created", "")), made[EVENTS])


def withdraw_approvals(new: Path) -> int:
    """What was approved in the backup and had not run may have run since: it does not run by that again; how many."""
    if not (new / DATABASE).exists():
        return 0
    restored, now = Database(new / DATABASE), time.time()

    def job(db: Rows) -> int:
        inbox.interrupt(db, now)  # as the sidecar's start would
        return approvals.withdraw(db, _WITHDRAWN, now)

    try:
        return restored.now(job)
    finally:
        restored.close()


def keep_audit_log(home: Path, new: Path) -> str:
    """The audit log that is here goes on in the new state: no backup replaces it. What was wrong with it, if anything.

    Where there is none, the backup's goes on.
    """
    problem = ""
    if (home / DATABASE).exists() and (home / audit_files.KEY).exists():
        try:
            Database(new / DATABASE).close()  # it may be from a version that had no such log
            database.carry_audit(home / DATABASE, new / DATABASE)
        except OpenClawNatsError as error:
            problem = f"the audit log that was here can't be read, the backup's goes on: {error}"
        else:
            for name in (audit_files.KEY, audit_files.HEAD):
                if (home / name).exists():
                    write_private(new / name, (home / name).read_text())
            return ""
    if (newest := database.newest_audit(new / DATABASE)) is not None:
        audit_files.AuditHead(new).raise_to(Head(newest.number, newest.digest))
    return problem


def build_own(parts: Path, new: Path, settings: Settings, manifest: Manifest) -> list[str]:
    """Restore the streams into the store of a nats-server of our own under `new`; a line for each."""
    made: dict[str, str] = {}

    async def work(staged: Settings) -> list[str]:
        async with connected(Options.from_settings(staged), SECONDS) as connection:
            return await restore_streams(connection, parts, manifest, made)

    with _nats(_staged(settings, new)) as staged:
        lines = asyncio.run(work(staged))
    follow_events(new, manifest, made)
    return lines


def _staged(settings: Settings, new: Path) -> Settings:
    """The settings, for a nats-server on a free port of this machine; a password of its own is enough."""
    password = new.parent / "nats-password"
    write_private(password, secrets.token_hex(16))
    nats = dataclasses.replace(
        settings.nats,
        url=f"nats://127.0.0.1:{free_port()}",
        user="restore",
        password_file=str(password),
        credentials_file="",
        nkey_seed_file="",
        tls_ca_file="",
        domain="",
    )
    return dataclasses.replace(settings, home=new, nats=nats)


@contextmanager
def _nats(settings: Settings) -> Iterator[Settings]:
    """nats-server alone, without the sidecar, which would make the streams that are to be restored."""
    where = Locations(settings.home)
    config, log = settings.home.parent / "nats-server.conf", settings.home.parent / "nats-server.log"
    text = render(settings).replace(str(where.logs / "nats-server.log"), str(log))
    write_private(config, text)
    where.jetstream.mkdir(mode=0o700)
    process = subprocess.Popen(
        [str(nats_server.find()[0]), "-c", str(config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        umask=0o077,
    )
    try:
        yield settings
    except OpenClawNatsError as error:
        if process.poll() is not None:
            said = log.read_text(errors="replace").splitlines()[-1:] if log.exists() else []
            raise SetupError(
                f"the nats-server for the restore ended: {' '.join(said) or process.returncode}"
            ) from error
        raise
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    make_private(where.jetstream)


def make_private(folder: Path) -> None:
    """Folders 0700, files 0600, and all of it on disk."""
    for name, _, files in os.walk(folder):
        Path(name).chmod(0o700)
        for file in files:
            path = Path(name, file)
            path.chmod(0o600)
            with path.open("rb") as opened:
                os.fsync(opened.fileno())
        sync_folder(Path(name))
