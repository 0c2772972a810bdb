-- Runs that the watchdog follows: `began` and `active` are by its own clock, `began_at` by the stream's. `state` is open,
-- long, unended or over; those that are over stay for a while, so that what comes late does not begin them again.
CREATE TABLE watchdog_runs (
    run TEXT PRIMARY KEY,
    agent TEXT NOT NULL,
    session TEXT NOT NULL,
    state TEXT NOT NULL,
    began REAL NOT NULL,
    active REAL NOT NULL,
    began_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX watchdog_runs_by_state ON watchdog_runs (state, began);
-- How long an agent's last runs took, in seconds.
CREATE TABLE watchdog_lengths (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    agent TEXT NOT NULL,
    seconds REAL NOT NULL
);
CREATE INDEX watchdog_lengths_by_agent ON watchdog_lengths (agent, id);
