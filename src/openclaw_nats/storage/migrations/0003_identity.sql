-- An event is itself by where it was stored (`place`: sequence and millisecond, events/identity.py), not by its id, which
-- anybody may choose: one id may name several events. Events of before are given their places by what is known of them;
-- of those that were redriven the time is not known any more: they are known by sequence and id (`old:`).
CREATE TEMP TABLE places AS
SELECT event_id, CASE WHEN stored_at = arrived_at THEN 'old:' || sequence || ':' || event_id
    ELSE sequence || '@' || CAST(stored_at * 1000 AS INTEGER) END AS place
FROM deliveries WHERE id IN (SELECT min(id) FROM deliveries GROUP BY event_id);
UPDATE places SET place = 'old:' || place || ':' || event_id
WHERE place IN (SELECT place FROM places GROUP BY place HAVING count(*) > 1);
CREATE UNIQUE INDEX temp.places_by_event ON places (event_id);

ALTER TABLE events RENAME TO older_events;
CREATE TABLE events (
    place TEXT PRIMARY KEY,
    document BLOB NOT NULL
);
INSERT INTO events (place, document)
SELECT places.place, older_events.document FROM older_events JOIN places ON places.event_id = older_events.id;
DROP TABLE older_events;

-- One event for one route. The unique pair is the deduplication.
-- States: pending, sending, failed (will be tried again), delivered, dead, dropped, expired.
ALTER TABLE deliveries RENAME TO older_deliveries;
DROP INDEX deliveries_by_state;
DROP INDEX deliveries_by_dispatch;
DROP INDEX deliveries_by_route;
DROP INDEX deliveries_untold;
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    place TEXT NOT NULL,
    event_id TEXT NOT NULL,
    route_id INTEGER NOT NULL,
    route TEXT NOT NULL,
    subject TEXT NOT NULL,
    session TEXT NOT NULL DEFAULT '',
    sequence INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    flow_key TEXT NOT NULL DEFAULT '',
    priority INTEGER NOT NULL,
    hops INTEGER NOT NULL DEFAULT 0,
    size INTEGER NOT NULL,
    stored_at REAL NOT NULL,
    arrived_at REAL NOT NULL,
    changed_at REAL NOT NULL,
    dispatch_id TEXT,
    told INTEGER NOT NULL DEFAULT 0,
    UNIQUE (place, route_id)
);
INSERT INTO deliveries (id, place, event_id, route_id, route, subject, session, sequence, state, reason, flow_key,
    priority, hops, size, stored_at, arrived_at, changed_at, dispatch_id, told)
SELECT older_deliveries.id, places.place, older_deliveries.event_id, route_id, route, subject, session, sequence, state,
    reason, flow_key, priority, hops, size, stored_at, arrived_at, changed_at, dispatch_id, told
FROM older_deliveries JOIN places ON places.event_id = older_deliveries.event_id ORDER BY older_deliveries.id;
-- Numbers are never given twice, not even those of deliveries that were forgotten.
UPDATE sqlite_sequence SET seq = (SELECT seq FROM sqlite_sequence WHERE name = 'older_deliveries')
WHERE name = 'deliveries' AND EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'older_deliveries');
INSERT INTO sqlite_sequence (name, seq) SELECT 'deliveries', seq FROM sqlite_sequence
WHERE name = 'older_deliveries' AND NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'deliveries');
DROP TABLE older_deliveries;
DROP TABLE places;
CREATE INDEX deliveries_by_event ON deliveries (event_id);
CREATE INDEX deliveries_by_state ON deliveries (state, id);
CREATE INDEX deliveries_by_dispatch ON deliveries (dispatch_id) WHERE dispatch_id IS NOT NULL;
CREATE INDEX deliveries_by_route ON deliveries (route_id, state);
CREATE INDEX deliveries_untold ON deliveries (id) WHERE state = 'dead' AND told = 0;

-- Whether a turn was asked for by a route that an agent made: all of those share a part of each budget.
ALTER TABLE turns ADD COLUMN agents INTEGER NOT NULL DEFAULT 0;
UPDATE turns SET agents = 1 WHERE route_id IN (SELECT id FROM routes WHERE made_by LIKE 'agent:%');

-- Until when messages of this bus were stored under their plain ids: a repetition of one of those is still known.
INSERT INTO facts (name, value)
SELECT 'plain ids until', CAST(strftime('%s', 'now') AS TEXT)
WHERE EXISTS (SELECT 1 FROM facts) OR EXISTS (SELECT 1 FROM routes) OR EXISTS (SELECT 1 FROM deliveries)
    OR EXISTS (SELECT 1 FROM activity);
