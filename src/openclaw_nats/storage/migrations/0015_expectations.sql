-- Rules about silence, what they wait for, and what is still to be said of that.
CREATE TABLE expectations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    document TEXT NOT NULL,
    made REAL NOT NULL,
    after_sequence INTEGER NOT NULL,
    overflow INTEGER NOT NULL DEFAULT 0,
    faults INTEGER NOT NULL DEFAULT 0,
    fault TEXT NOT NULL DEFAULT ''
);
-- `due_steady` is when it is due by the clock that nobody sets, of the boot `boot`.
CREATE TABLE expectation_episodes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    expectation INTEGER NOT NULL,
    key TEXT NOT NULL,
    state TEXT NOT NULL,
    began REAL NOT NULL,
    due REAL NOT NULL,
    boot TEXT NOT NULL,
    due_steady REAL NOT NULL,
    gateway TEXT NOT NULL,
    armed INTEGER NOT NULL DEFAULT 0,
    UNIQUE (expectation, key)
);
CREATE INDEX expectation_episodes_due ON expectation_episodes (state, due);
-- When what a rule waits for came last, for its look-back.
CREATE TABLE expectation_seen (
    expectation INTEGER NOT NULL,
    key TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (expectation, key)
) WITHOUT ROWID;
CREATE TABLE expectation_notices (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    event TEXT NOT NULL,
    subject TEXT NOT NULL,
    data BLOB NOT NULL,
    at REAL NOT NULL
);
