-- What turns have cost: one row a report of the plugin (`event` is its message id, so that a report counts once).
CREATE TABLE costs (
    event TEXT PRIMARY KEY,
    at REAL NOT NULL,
    route_id INTEGER NOT NULL,
    agents INTEGER NOT NULL,
    cost REAL NOT NULL
);
CREATE INDEX costs_by_time ON costs (at);
