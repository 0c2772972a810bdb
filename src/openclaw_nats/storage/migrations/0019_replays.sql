-- A replay: stored events go through a route once more. `position` is the sequence up to which it has looked, written in
-- the same transaction as what it made. `next_at` is when its rate lets it go on. States: running, done, stopped.
CREATE TABLE replays (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    route_id INTEGER NOT NULL,
    route TEXT NOT NULL,
    since REAL NOT NULL,
    until REAL NOT NULL,
    which TEXT NOT NULL,
    most INTEGER NOT NULL,
    rate_count INTEGER NOT NULL,
    rate_per REAL NOT NULL,
    also_webhooks INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'running',
    reason TEXT NOT NULL DEFAULT '',
    position INTEGER NOT NULL DEFAULT 0,
    next_at REAL NOT NULL DEFAULT 0,
    made INTEGER NOT NULL DEFAULT 0,
    gone INTEGER NOT NULL DEFAULT 0,
    made_by TEXT NOT NULL,
    began_at REAL NOT NULL,
    ended_at REAL NOT NULL DEFAULT 0
);
-- The replay that a delivery is of (0: none), and when its event was stored.
ALTER TABLE deliveries ADD COLUMN replay INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN first_stored REAL NOT NULL DEFAULT 0;
CREATE INDEX deliveries_by_replay ON deliveries (replay) WHERE replay > 0;
ALTER TABLE dispatches ADD COLUMN replay INTEGER NOT NULL DEFAULT 0;
ALTER TABLE turns ADD COLUMN replay INTEGER NOT NULL DEFAULT 0;
-- Up to which event it is not known any more what became of it. Before this version nobody wrote that down: where
-- numbers are missing, some may have been forgotten, and it counts for all events up to now.
INSERT INTO facts (name, value)
SELECT 'deliveries forgotten up to', CAST(coalesce(newest, 9223372036854775807) AS TEXT)
FROM (SELECT max(sequence) AS newest, count(*) AS kept FROM deliveries)
WHERE kept < (SELECT seq FROM sqlite_sequence WHERE name = 'deliveries');
