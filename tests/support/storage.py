"""A sidecar's database as an earlier version left it."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from openclaw_nats.storage.database import migrations


def take_back_to(path: Path, version: int) -> None:
    """Take a database back to an earlier version of its tables: what came later is not there yet."""
    fresh = path.with_suffix(".earlier")
    with contextlib.closing(sqlite3.connect(path)) as db, contextlib.closing(sqlite3.connect(fresh)) as old:
        for step in migrations()[:version]:
            old.executescript(step.read_text())
        tables = [row[0] for row in old.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()]
        for table in tables:
            into = [row[1] for row in old.execute(f"PRAGMA table_info({table})")]
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})") if row[1] in into]
            source = table
            if table == "events" and version < 3:  # they were known by their ids
                columns = ["id", "document"]
                source = "(SELECT DISTINCT event_id AS id, document FROM events JOIN deliveries USING (place))"
            names, marks = ", ".join(columns), ", ".join("?" * len(columns))
            rows = db.execute(f"SELECT {names} FROM {source}").fetchall()  # noqa: S608  (names of ours)
            if table != "sqlite_sequence":
                old.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)  # noqa: S608
        old.execute(f"PRAGMA user_version = {version}")
        old.commit()
    for leftover in path.parent.glob(f"{path.name}*"):
        leftover.unlink()
    fresh.replace(path)
