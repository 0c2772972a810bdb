"""The backup file: a tar with a manifest in front, which names every part with its hash."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openclaw_nats import __version__
from openclaw_nats.errors import SetupError

FORMAT = 1
MANIFEST = "manifest.json"


@dataclass
class Manifest:
    """What is in a backup. `streams` holds each stream's configuration and state."""

    version: str = __version__
    made_at: str = ""
    home: str = ""
    streams: dict[str, Any] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)


def pack(target: Path, folder: Path, manifest: Manifest) -> int:
    """Write everything in `folder` into the file, mode 0600, all or nothing; its size in bytes."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    manifest.hashes = {name: hash_of(folder / name) for name in names}
    unfinished = target.with_name(f".{target.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=3) as archive:
                text = json.dumps({"format": FORMAT, **manifest.__dict__}, indent=1).encode()
                head = tarfile.TarInfo(MANIFEST)
                head.size, head.mode = len(text), 0o600
                archive.addfile(head, io.BytesIO(text))
                for name in names:
                    archive.add(folder / name, name, recursive=False)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
    except OSError as error:
        raise SetupError(f"{target} can't be written: {error.strerror}") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return target.stat().st_size


def unpack(source: Path, folder: Path) -> Manifest:
    """Read the file into an empty folder and compare every hash; raise SetupError, which names the part."""
    try:
        with tarfile.open(source, "r:gz") as archive:
            first = archive.next()
            text = archive.extractfile(first) if first is not None and first.name == MANIFEST else None
            if text is None:
                raise SetupError(f"{source} is not a backup of openclaw-nats")
            found = json.load(text)
            if found.pop("format", 0) > FORMAT:
                raise SetupError(
                    f"{source} was made by a newer openclaw-nats ({found.get('version')})", hint="Install that version."
                )
            manifest = Manifest(**found)
            archive.extractall(folder, filter="data")
    except FileNotFoundError:
        raise SetupError(f"{source} does not exist") from None
    except (tarfile.TarError, EOFError, OSError, ValueError, TypeError) as error:
        raise SetupError(f"{source} can't be read: {error}", hint="Is the copy complete?") from None
    (folder / MANIFEST).unlink(missing_ok=True)
    for name, wanted in manifest.hashes.items():
        if not (folder / name).is_file() or hash_of(folder / name) != wanted:
            raise SetupError(f"{source} is damaged: {name} is not what it was", hint="Use another copy.")
    return manifest


def hash_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
