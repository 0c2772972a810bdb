"""What the watchdog follows and has learned, as rows. Times are by its own clock, in seconds."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

_RUN = "run, agent, session, state, began, active, began_at"
MAX_RUNS = 10_000
MAX_OVER = 2_000
MAX_LENGTHS = 200
MAX_AGENTS = 500


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run: `state` is open, long, unended or over. `began_at` is in seconds since the Unix epoch."""

    run: str
    agent: str
    session: str
    state: str
    began: float
    active: float
    began_at: float


def run(db: sqlite3.Connection, name: str) -> RunRow | None:
    """The one of an id."""
    row = db.execute(f"SELECT {_RUN} FROM watchdog_runs WHERE run = ?", (name,)).fetchone()  # noqa: S608  (ours)
    return RunRow(*row) if row is not None else None


def followed(db: sqlite3.Connection) -> list[RunRow]:
    """Those that have not ended."""
    found = db.execute(f"SELECT {_RUN} FROM watchdog_runs WHERE state != 'over' ORDER BY began")  # noqa: S608  (ours)
    return [RunRow(*row) for row in found]


def follow(db: sqlite3.Connection, one: RunRow) -> None:
    """Follow a new one, if there is room."""
    found = db.execute("SELECT count(*) FROM watchdog_runs WHERE state != 'over'").fetchone()
    if found[0] < MAX_RUNS:
        fields = (one.run, one.agent, one.session, one.state, one.began, one.active, one.began_at)
        db.execute(f"INSERT OR IGNORE INTO watchdog_runs ({_RUN}) VALUES (?, ?, ?, ?, ?, ?, ?)", fields)  # noqa: S608


def active(db: sqlite3.Connection, name: str, clock: float) -> None:
    """Something came of it."""
    db.execute("UPDATE watchdog_runs SET active = ? WHERE run = ?", (clock, name))


def set_state(db: sqlite3.Connection, name: str, state: str) -> None:
    """Change its state."""
    db.execute("UPDATE watchdog_runs SET state = ? WHERE run = ?", (state, name))


def end(db: sqlite3.Connection, name: str, clock: float) -> None:
    """It is over, whether it was followed or not."""
    sql = (
        "INSERT INTO watchdog_runs VALUES (?1, '', '', 'over', ?2, ?2, 0) "
        "ON CONFLICT (run) DO UPDATE SET state = 'over', began = ?2"
    )
    db.execute(sql, (name, clock))


def end_all(db: sqlite3.Connection, clock: float) -> None:
    """All are over."""
    db.execute("UPDATE watchdog_runs SET state = 'over', began = ? WHERE state != 'over'", (clock,))


def excuse(db: sqlite3.Connection, clock: float) -> None:
    """The time of runs that wait for an approval begins again."""
    sql = (
        "UPDATE watchdog_runs SET began = ?1, active = ?1 WHERE state = 'open' AND EXISTS (SELECT 1 FROM approvals "
        "WHERE approvals.state = 'pending' AND (run_id = watchdog_runs.run "
        "OR (approvals.session != '' AND approvals.session = watchdog_runs.session)))"
    )
    db.execute(sql, (clock,))


def tidy(db: sqlite3.Connection, before: float) -> None:
    """Forget those that began before a time, and all but the last ones that are over."""
    db.execute("DELETE FROM watchdog_runs WHERE state != 'over' AND began < ?", (before,))
    sql = (
        "DELETE FROM watchdog_runs WHERE run IN "
        "(SELECT run FROM watchdog_runs WHERE state = 'over' ORDER BY began DESC LIMIT -1 OFFSET ?)"
    )
    db.execute(sql, (MAX_OVER,))


def learn(db: sqlite3.Connection, agent: str, seconds: float) -> None:
    """Remember how long a run took; of an agent the last ones, and the agents that ran last."""
    db.execute("INSERT INTO watchdog_lengths (agent, seconds) VALUES (?, ?)", (agent, seconds))
    old = (
        "DELETE FROM watchdog_lengths WHERE agent = ?1 AND id <= "
        "(SELECT id FROM watchdog_lengths WHERE agent = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)"
    )
    db.execute(old, (agent, MAX_LENGTHS))
    if len(agents(db)) > MAX_AGENTS:
        gone = "(SELECT agent FROM watchdog_lengths GROUP BY agent ORDER BY max(id) LIMIT 1)"
        db.execute(f"DELETE FROM watchdog_lengths WHERE agent = {gone}")  # noqa: S608  (ours)


def lengths(db: sqlite3.Connection, agent: str) -> list[float]:
    """How long an agent's last runs took."""
    return [float(row[0]) for row in db.execute("SELECT seconds FROM watchdog_lengths WHERE agent = ?", (agent,))]


def agents(db: sqlite3.Connection) -> dict[str, int]:
    """How many lengths are known of each agent."""
    return dict(db.execute("SELECT agent, count(*) FROM watchdog_lengths GROUP BY agent").fetchall())
