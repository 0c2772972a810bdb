"""The names of the index: each subject, agent, session, run and origin once, with the newest event that has it."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict

FIELDS = ("subject", "agent", "session", "run", "origin")
NOBODY = 0  # the number of an empty name
_REMEMBERED = 4096


class Names:
    """Numbers of names, of which the newest few thousand are remembered. For the thread that writes alone."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._seen: dict[int, int] = {}

    def numbers(self, db: sqlite3.Connection, names: tuple[str, ...], sequence: int) -> tuple[int, ...]:
        """The numbers of an event's names, in the order of FIELDS; new ones are made."""
        return tuple(self._number(db, field, name, sequence) for field, name in zip(FIELDS, names, strict=True))

    def keep(self, db: sqlite3.Connection) -> None:
        """Write down which event has each name last."""
        db.executemany("UPDATE names SET last = ? WHERE id = ?", [(last, one) for one, last in self._seen.items()])
        self._seen.clear()

    def forget(self) -> None:
        """Names may have gone, or were never committed."""
        self._known.clear()
        self._seen.clear()

    def _number(self, db: sqlite3.Connection, field: str, name: str, sequence: int) -> int:
        if not name:
            return NOBODY
        found = self._known.get((field, name))
        if found is None:
            row = db.execute("SELECT id FROM names WHERE field = ? AND value = ?", (field, name)).fetchone()
            if row is None:
                row = db.execute(
                    "INSERT INTO names (field, value, last) VALUES (?, ?, ?) RETURNING id", (field, name, sequence)
                ).fetchone()
            found = int(row[0])
            self._known[field, name] = found
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        self._seen[found] = sequence
        return found
