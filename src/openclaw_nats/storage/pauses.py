"""What is paused, as rows."""

from __future__ import annotations

import sqlite3
from dataclasses import astuple, dataclass

ALL_ROUTES = 0


@dataclass(frozen=True, slots=True)
class PauseRow:
    """One pause. Times are seconds since the Unix epoch; `until` is None for one that lasts until it is resumed."""

    route_id: int
    everything: bool
    reason: str
    made_by: str
    since: float
    until: float | None

    def is_over(self, now: float) -> bool:
        """Whether its time has passed."""
        return self.until is not None and self.until <= now


def every(db: sqlite3.Connection) -> list[PauseRow]:
    """All pauses."""
    found = db.execute("SELECT route_id, everything, reason, made_by, since, until FROM pauses ORDER BY since")
    return [PauseRow(row[0], bool(row[1]), *row[2:]) for row in found]


def put(db: sqlite3.Connection, row: PauseRow) -> None:
    """Begin a pause, or replace the one of the same route."""
    db.execute("INSERT OR REPLACE INTO pauses VALUES (?, ?, ?, ?, ?, ?)", astuple(row))


def remove(db: sqlite3.Connection, route_ids: list[int]) -> None:
    """They are over."""
    db.executemany("DELETE FROM pauses WHERE route_id = ?", [(one,) for one in route_ids])
