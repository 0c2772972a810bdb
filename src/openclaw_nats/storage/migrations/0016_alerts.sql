-- What is wrong now, and since when; `over_at` while it has just ended.
CREATE TABLE alert_conditions (
    key TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    page TEXT NOT NULL,
    since REAL NOT NULL,
    over_at REAL
) WITHOUT ROWID;
-- What each channel was last told of.
CREATE TABLE alert_told (
    channel TEXT NOT NULL,
    key TEXT NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    page TEXT NOT NULL,
    told_at REAL NOT NULL,
    PRIMARY KEY (channel, key)
) WITHOUT ROWID;
-- Messages, those that wait (`ended_at` is null) and the newest others. The id is the receiver's for repetitions, too.
CREATE TABLE alert_messages (
    id TEXT PRIMARY KEY,
    channel TEXT NOT NULL,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    made_at REAL NOT NULL,
    next_at REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    ended_at REAL,
    error TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE INDEX alert_messages_waiting ON alert_messages (next_at) WHERE ended_at IS NULL;
CREATE INDEX alert_messages_channel ON alert_messages (channel, made_at);
