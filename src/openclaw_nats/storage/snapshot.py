"""A copy of a database that is in use: whole, and as it was at one moment."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from openclaw_nats.errors import SetupError
from openclaw_nats.storage.database import migrations


def copy(source: Path, target: Path) -> None:
    """Copy by SQLite's own backup, while others write; raise SetupError."""
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        uri = f"{source.resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=10)) as old, closing(sqlite3.connect(target)) as new:
            old.backup(new)
    except sqlite3.DatabaseError as error:
        raise SetupError(f"{source} can't be copied: {error}") from None


def check(path: Path) -> None:
    """Raise SetupError when a file is damaged, or from a newer version than this one."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            state = str(db.execute("PRAGMA integrity_check").fetchone()[0])
    except sqlite3.DatabaseError as error:
        raise SetupError(f"the database in the backup is damaged: {error}") from None
    newest = int(migrations()[-1].name.split("_")[0])
    if version > newest:
        raise SetupError(
            f"the backup is from a newer openclaw-nats (version {version} of its tables; this one knows {newest})",
            hint="Install that version, then restore.",
        )
    if state != "ok":
        raise SetupError(f"the database in the backup is damaged: {state[:200]}")
