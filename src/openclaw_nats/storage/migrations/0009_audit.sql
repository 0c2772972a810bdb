-- Every administrative act. Rows are added, and the oldest removed; `digest` is keyed and holds the one before (audit/).
CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    record TEXT NOT NULL,
    digest TEXT NOT NULL,
    total INTEGER NOT NULL
);
