-- What the events stream held, event by event: links of a chain (reconcile/chain.py). `entries` has twelve bytes for each
-- sequence from `first` to `last`; a day's record and a note of what was removed or replaced have none.
CREATE TABLE certificate_links (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    newest REAL NOT NULL,
    record TEXT NOT NULL,
    entries BLOB NOT NULL,
    digest TEXT NOT NULL
);
CREATE INDEX certificate_links_kind ON certificate_links (kind, number);
