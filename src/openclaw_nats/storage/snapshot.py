"""A copy of a database that is in use: whole, and as it was at one moment."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from openclaw_nats.errors import InvalidBackup, SetupError
from openclaw_nats.storage import audit
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
    """Raise InvalidBackup when a file is damaged, no database of ours, or from a newer version than this one."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as db:
            db.execute("PRAGMA trusted_schema = OFF")
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            others = [*db.execute("SELECT name FROM sqlite_master WHERE type NOT IN ('table', 'index')")]
            tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            state = str(db.execute("PRAGMA integrity_check(1)").fetchone()[0])
    except sqlite3.DatabaseError as error:
        raise InvalidBackup(f"the database in the backup is damaged: {error}") from None
    newest = int(migrations()[-1].name.split("_")[0])
    if version > newest:
        raise InvalidBackup(
            f"the backup is from a newer openclaw-nats (version {version} of its tables; this one knows {newest})",
            hint="Install that version, then restore.",
        )
    if state != "ok":
        raise InvalidBackup(f"the database in the backup is damaged: {state[:200]}")
    if version < 1 or others or not tables >= {"routes", "deliveries", "facts"}:
        raise InvalidBackup("the database in the backup is none of openclaw-nats")


def follow(path: Path, before: str, now: str) -> None:
    """In a copy: the events stream that was made at `before` is now the one that was made at `now`.

    It holds the same messages at the same places. `before` is empty when the backup does not say it: then the
    database's own word counts.
    """
    with closing(sqlite3.connect(path)) as db, db:
        known = db.execute("SELECT value FROM facts WHERE name = 'stream'").fetchone()
        if known is None or before not in ("", known[0]):
            return
        db.execute("UPDATE facts SET value = replace(value, ?, ?)", (known[0], now))


def carry_audit(source: Path, target: Path) -> None:
    """The audit log of one database in the place of another one's; raise SetupError when the first can't be read."""
    try:
        with closing(sqlite3.connect(target)) as db:
            db.execute("ATTACH ? AS former", (str(source),))
            if db.execute("SELECT 1 FROM former.sqlite_master WHERE name = 'audit'").fetchone() is None:
                return
            with db:
                db.execute("DELETE FROM audit")
                db.execute("INSERT INTO audit SELECT * FROM former.audit")
    except sqlite3.DatabaseError as error:
        raise SetupError(f"{source} can't be read: {error}") from None


def newest_audit(path: Path) -> audit.AuditRow | None:
    """The newest record of the audit log in a database that may have none, or not be there."""
    if not path.exists():
        return None
    with closing(sqlite3.connect(path)) as db:
        if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'audit'").fetchone() is None:
            return None
        return audit.newest(db)
