-- What the operator has paused: one route, or all of them (`route_id` 0). `everything`: whatever goes out, and agents'
-- tools. `until` is NULL for a pause that lasts until it is resumed.
CREATE TABLE pauses (
    route_id INTEGER PRIMARY KEY,
    everything INTEGER NOT NULL,
    reason TEXT NOT NULL,
    made_by TEXT NOT NULL,
    since REAL NOT NULL,
    until REAL
);
