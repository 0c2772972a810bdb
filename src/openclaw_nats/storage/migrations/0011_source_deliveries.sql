-- Deliveries of webhooks that were taken in: by the provider's id for them (`d:`), and by what they were signed with
-- (`s:`), each a digest. `stored` is 0 until the event is known to be; `until` is when it may be forgotten.
CREATE TABLE source_deliveries (
    source TEXT NOT NULL,
    key TEXT NOT NULL,
    event_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    first_at REAL NOT NULL,
    until REAL NOT NULL,
    stored INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (source, key)
) WITHOUT ROWID;
CREATE INDEX source_deliveries_until ON source_deliveries (until);
CREATE INDEX source_deliveries_age ON source_deliveries (source, first_at);
CREATE INDEX source_deliveries_event ON source_deliveries (source, event_id);
