-- A route: which events go where. `document` is the route as the API takes it; events stored up to `after_sequence`
-- of the stream came before the route and are not for it.
CREATE TABLE routes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    document TEXT NOT NULL,
    after_sequence INTEGER NOT NULL,
    made_by TEXT NOT NULL DEFAULT '',
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL
);

-- An event that at least one route wants, as a CloudEvents document.
CREATE TABLE events (
    id TEXT PRIMARY KEY,
    document BLOB NOT NULL
);

-- One event for one route. The unique pair is the deduplication.
-- States: pending, sending, failed (will be tried again), delivered, dead, dropped, expired.
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
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
    UNIQUE (event_id, route_id)
);
CREATE INDEX deliveries_by_state ON deliveries (state, id);
CREATE INDEX deliveries_by_dispatch ON deliveries (dispatch_id) WHERE dispatch_id IS NOT NULL;
CREATE INDEX deliveries_by_route ON deliveries (route_id, state);
CREATE INDEX deliveries_untold ON deliveries (id) WHERE state = 'dead' AND told = 0;

-- One request to a target, with one or more deliveries; for an agent it is one turn. Its body never changes, so that
-- a repeated request is the same request.
CREATE TABLE dispatches (
    id TEXT PRIMARY KEY,
    route_id INTEGER NOT NULL,
    route TEXT NOT NULL,
    flow_key TEXT NOT NULL DEFAULT '',
    target TEXT NOT NULL,
    body TEXT NOT NULL,
    events INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    hops INTEGER NOT NULL,
    position INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    attempts INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    runs INTEGER NOT NULL DEFAULT 1,
    way TEXT NOT NULL DEFAULT '',
    run_id TEXT NOT NULL DEFAULT '',
    outcome TEXT NOT NULL DEFAULT '',
    reply TEXT NOT NULL DEFAULT '',
    created_at REAL NOT NULL,
    changed_at REAL NOT NULL,
    due_at REAL NOT NULL DEFAULT 0
);
CREATE INDEX dispatches_open ON dispatches (state) WHERE state IN ('sending', 'failed');
CREATE INDEX dispatches_by_time ON dispatches (created_at);
CREATE INDEX dispatches_by_route ON dispatches (route_id, created_at);

-- Every change of a delivery's state, with its reason.
CREATE TABLE changes (
    delivery_id INTEGER NOT NULL,
    at REAL NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL
);
CREATE INDEX changes_by_delivery ON changes (delivery_id);

-- Agent runs that were asked for: what the budgets count.
CREATE TABLE turns (
    at REAL NOT NULL,
    route_id INTEGER NOT NULL
);
CREATE INDEX turns_by_time ON turns (at);

CREATE TABLE facts (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
