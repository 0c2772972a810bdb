-- What a watcher remembers of what it watches, item by item: a file's state, a mail's number, an entry's id.
CREATE TABLE watch_items (
    source TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (source, key)
) WITHOUT ROWID;
-- Events of watchers on their way into the stream, written in the commit that remembers that they were seen. A number is
-- used once, so that an event keeps its id until it is stored.
CREATE TABLE watch_events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    source TEXT NOT NULL,
    event TEXT NOT NULL,
    thing TEXT NOT NULL,
    subject TEXT NOT NULL,
    type TEXT NOT NULL,
    data BLOB NOT NULL,
    at REAL NOT NULL
);
CREATE INDEX watch_events_source ON watch_events (source, number);
