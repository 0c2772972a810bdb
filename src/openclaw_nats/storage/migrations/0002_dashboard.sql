-- A browser that is signed in to the dashboard. Only the hash of its token is kept.
CREATE TABLE dashboard_sessions (
    id TEXT PRIMARY KEY,
    token_hash BLOB NOT NULL UNIQUE,
    browser TEXT NOT NULL,
    made_at REAL NOT NULL,
    seen_at REAL NOT NULL,
    ends_at REAL NOT NULL
);

-- How many events were stored in each minute (seconds since the Unix epoch, divided by 60), for the dashboard's plots.
CREATE TABLE activity (
    minute INTEGER PRIMARY KEY,
    events INTEGER NOT NULL
);
