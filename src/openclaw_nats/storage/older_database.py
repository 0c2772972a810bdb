"""The SQLite file of @omnixal/openclaw-nats-plugin, read only.

Its tables and columns were read from that project's public schema (versions up to 0.2.18); older files lack some of the
columns, which then have their defaults. Times there are milliseconds since the Unix epoch.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openclaw_nats.errors import SetupError


@dataclass
class OlderState:
    """What stands in its database: rows as they are there, JSON columns decoded."""

    routes: list[dict[str, Any]] = field(default_factory=list)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    timers: list[dict[str, Any]] = field(default_factory=list)
    pending: list[dict[str, Any]] = field(default_factory=list)


def read(path: Path) -> OlderState:
    """Read the file, also while its sidecar has it open; raise SetupError when it is not what it should be."""
    if not path.is_file():
        raise SetupError(f"{path} does not exist", hint="Name the file with --database.")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as db:
            db.row_factory = sqlite3.Row
            tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "event_routes" not in tables:
                raise SetupError(f"{path} is not the database of openclaw-nats-plugin: it has no table event_routes")
            return OlderState(
                routes=_rows(db, tables, "event_routes", "created_at", ("filter", "custom_payload")),
                jobs=_rows(db, tables, "cron_jobs", "created_at", ("payload",)),
                timers=[row for row in _rows(db, tables, "timer_jobs", "fire_at", ("payload",)) if not row["fired"]],
                pending=[
                    row
                    for row in _rows(db, tables, "pending_events", "created_at", ("payload",))
                    if row.get("delivered_at") is None
                ],
            )
    except sqlite3.DatabaseError as error:
        raise SetupError(
            f"{path} can't be read: {error}", hint="Is it a copy that was made while it was written?"
        ) from None


def _rows(db: sqlite3.Connection, tables: set[str], table: str, order: str, documents: tuple[str, ...]) -> list[Any]:
    if table not in tables:
        return []
    found = [dict(row) for row in db.execute(f"SELECT * FROM {table} ORDER BY {order}")]  # noqa: S608  (constants)
    for row in found:
        for name in documents:
            if isinstance(row.get(name), str):
                try:
                    row[name] = json.loads(row[name])
                except ValueError:
                    continue  # kept as text; the plan says what can't be taken over
    return found
