"""The backup file: a compressed tar with a manifest in front, which names every part with its size and its hash.

Whoever gives us such a file is not believed: it is read into a folder of our own, by a reader that knows plain files
of known names alone (tar_reader.py, names.py), up to what the manifest says and the disk has room for.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from openclaw_nats import __version__
from openclaw_nats.backup.names import MANIFEST, MANIFEST_BYTES, STREAMS, UNLIMITED, limit_of, stream_file
from openclaw_nats.backup.tar_reader import Member, TarReader, Unpacked
from openclaw_nats.errors import InvalidBackup, SetupError
from openclaw_nats.jetstream.snapshot import NO_ROOM

FORMAT = 2
_SPARE_BYTES = 64 << 20  # of the disk, which others need meanwhile
_SECONDS = 120.0
_BYTES_PER_SECOND = 1 << 20  # of the file, packed: a slow disk
_GZIP = b"\x1f\x8b"


@dataclass
class Manifest:
    """What is in a backup. `streams` holds each stream's configuration and state, `gateway` whose it is.

    Format 1 (0.1.0) has neither `sizes` nor `gateway`.
    """

    version: str = __version__
    made_at: str = ""
    home: str = ""
    gateway: str = ""
    streams: dict[str, Any] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)


def pack(target: Path, folder: Path, manifest: Manifest) -> int:
    """Write everything in `folder` into the file, mode 0600, all or nothing; its size in bytes."""
    names = sorted(path.name for path in folder.iterdir())
    manifest.hashes = {name: hash_of(folder / name) for name in names}
    manifest.sizes = {name: (folder / name).stat().st_size for name in names}
    unfinished = target.with_name(f".{target.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=3, format=tarfile.PAX_FORMAT) as archive:
                text = json.dumps({"format": FORMAT, **manifest.__dict__}, indent=1).encode()
                archive.addfile(_head(MANIFEST, len(text)), io.BytesIO(text))
                for name in names:
                    with (folder / name).open("rb") as part:
                        archive.addfile(_head(name, manifest.sizes[name]), part)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        hint = NO_ROOM if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise SetupError(f"{target} can't be written: {error.strerror}", hint=hint) from None
    finally:
        unfinished.unlink(missing_ok=True)
    return target.stat().st_size


def _head(name: str, size: int) -> tarfile.TarInfo:
    head = tarfile.TarInfo(name)
    head.size, head.mode = size, 0o600
    return head


def unpack(source: Path, folder: Path) -> Manifest:
    """Read the file into an empty folder, its files 0600; raise InvalidBackup, which names what is wrong.

    Everything that the file alone can show is checked: names, types, sizes, hashes, and that nothing is missing.
    """
    try:
        with _opened(source) as (file, packed):
            reader = TarReader(file, _SECONDS + packed / _BYTES_PER_SECOND)
            members = reader.members()
            manifest = _manifest(next(members, None), reader)
            room = shutil.disk_usage(folder).free - _SPARE_BYTES
            _check_room(sum(manifest.sizes.values()), room)
            found: set[str] = set()
            for member in members:
                room -= _store(member, manifest, found, reader, folder, room)
    except InvalidBackup as error:
        raise InvalidBackup(f"{source} is not a complete backup of openclaw-nats: {error}", hint=error.hint) from None
    if missing := sorted(manifest.hashes.keys() - found):
        raise InvalidBackup(f"{source} is not a complete backup of openclaw-nats: {missing[0]} is missing")
    return manifest


@contextmanager
def _opened(source: Path) -> Iterator[tuple[Unpacked, int]]:
    """The file unpacked, and its size packed. A FIFO is not waited for."""
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise InvalidBackup("it does not exist") from None
    except OSError as error:
        raise InvalidBackup(f"it can't be read: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") if _is_file(descriptor) else _refused(descriptor) as file:
        packed = os.fstat(file.fileno()).st_size
        if not packed:
            raise InvalidBackup("it is empty")
        if file.read(2) != _GZIP:
            raise InvalidBackup("it is not a gzip file", hint="`openclaw-nats backup FILE` makes one.")
        file.seek(0)
        yield Unpacked(file), packed


def _is_file(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _refused(descriptor: int) -> IO[bytes]:
    what = "a folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "not a regular file"
    os.close(descriptor)
    raise InvalidBackup(f"it is {what}")


def _manifest(first: Member | None, reader: TarReader) -> Manifest:
    if first is None or first.name != MANIFEST:
        raise InvalidBackup("its first part is not a manifest", hint="`openclaw-nats backup FILE` makes one.")
    if first.size > MANIFEST_BYTES:
        raise InvalidBackup("its manifest is too large")
    text = b"".join(reader.content())
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidBackup("its manifest can't be read") from None
    if not isinstance(found, dict) or not isinstance(found.get("format"), int):
        raise InvalidBackup("its manifest does not say its format")
    number = found.pop("format")
    if number > FORMAT:
        version = str(found.get("version"))[:40]
        raise InvalidBackup(f"it was made by a newer openclaw-nats ({version})", hint="Install that version.")
    if number < 1:
        raise InvalidBackup(f"there is no format {number}")
    return _checked(found, sizes=number > 1)


def _checked(found: dict[str, Any], *, sizes: bool) -> Manifest:
    """The manifest's fields, each of the type that it has to be, about known parts alone."""
    try:
        manifest = Manifest(**found)
    except TypeError:
        raise InvalidBackup("its manifest has unknown fields") from None
    texts = (manifest.version, manifest.made_at, manifest.home, manifest.gateway)
    if not all(isinstance(text, str) and len(text) < 4096 and text.isprintable() for text in texts):
        raise InvalidBackup("its manifest holds unknown texts")
    if not manifest.home.startswith("/") or not manifest.home.strip("/"):
        raise InvalidBackup("its manifest does not say of which state directory it is")
    if not all(isinstance(table, dict) for table in (manifest.streams, manifest.hashes, manifest.sizes)):
        raise InvalidBackup("its manifest can't be read")
    for name, digest in manifest.hashes.items():
        if name not in UNLIMITED and not _is_known(name):
            raise InvalidBackup(f"it names the part {name[:80]!r}, which is unknown")
        if not isinstance(digest, str):
            raise InvalidBackup(f"its manifest has no hash of {name}")
    if sizes and manifest.sizes.keys() != manifest.hashes.keys():
        raise InvalidBackup("its manifest does not say the size of each part")
    if not all(type(size) is int and 0 <= size < 1 << 62 for size in manifest.sizes.values()):
        raise InvalidBackup("its manifest holds impossible sizes")
    for stream, saved in manifest.streams.items():
        if stream not in STREAMS or stream_file(stream) not in manifest.hashes or not _is_saved(stream, saved):
            raise InvalidBackup(f"its manifest describes the stream {stream[:80]!r} as none is")
    if {name for name in manifest.hashes if name.endswith(".stream")} - {stream_file(one) for one in manifest.streams}:
        raise InvalidBackup("it holds a stream that its manifest does not describe")
    return manifest


def _is_known(name: str) -> bool:
    try:
        limit_of(name)
    except KeyError:
        return False
    return True


def _is_saved(stream: str, saved: object) -> bool:
    if not isinstance(saved, dict):
        return False
    config, state = saved.get("config"), saved.get("state")
    if not isinstance(config, dict) or not isinstance(state, dict) or config.get("name") != stream:
        return False
    return all(type(state.get(name)) is int for name in ("messages", "last_seq"))


def _store(member: Member, manifest: Manifest, found: set[str], reader: TarReader, folder: Path, room: int) -> int:
    """Write one part into the folder; its size in bytes."""
    name = member.name
    if name in found or name not in manifest.hashes:
        shown = f"{name[:80]!r} twice" if name in found else f"{name[:80]!r}, which its manifest does not name"
        raise InvalidBackup(f"it holds {shown}")
    found.add(name)
    limit = limit_of(name)
    if member.size != manifest.sizes.get(name, member.size) or (limit is not None and member.size > limit):
        raise InvalidBackup(f"{name} does not have the size that the manifest names")
    _check_room(member.size, room)
    digest = hashlib.sha256()
    with os.fdopen(os.open(folder / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as out:
        for piece in reader.content():
            digest.update(piece)
            out.write(piece)
        out.flush()
        os.fsync(out.fileno())
    if digest.hexdigest() != manifest.hashes[name]:
        raise InvalidBackup(f"{name} does not match its hash: the file is damaged", hint="Use another copy.")
    return member.size


def _check_room(needed: int, room: int) -> None:
    if needed > room:
        raise SetupError(
            f"the backup needs {needed / 2**20:.0f} MiB, and there are {max(0, room) / 2**20:.0f} MiB",
            hint="Free some space there, then repeat it. Nothing was changed.",
        )


def hash_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
