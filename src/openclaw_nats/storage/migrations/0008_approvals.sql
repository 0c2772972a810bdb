-- A guarded call that was refused for want of an answer. `key` names its last asking: a grant is for that, and the plugin
-- claims it before the call runs. States: pending, approved, denied, expired. `use` of what was approved: '' (not yet),
-- begun, done, failed. Who else still has to be informed: `requested_told` and `answered_told` are 0.
CREATE TABLE approvals (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL,
    state TEXT NOT NULL,
    agent TEXT NOT NULL,
    session TEXT NOT NULL,
    run_id TEXT NOT NULL,
    route_id INTEGER NOT NULL,
    route TEXT NOT NULL,
    dispatch_id TEXT NOT NULL,
    hops INTEGER NOT NULL,
    events TEXT NOT NULL,
    tool TEXT NOT NULL,
    arguments TEXT NOT NULL,
    size INTEGER NOT NULL,
    digest TEXT NOT NULL,
    rule TEXT NOT NULL,
    asked INTEGER NOT NULL DEFAULT 1,
    first_at REAL NOT NULL,
    last_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    prompt_until REAL NOT NULL DEFAULT 0,
    answered_at REAL,
    answered_by TEXT NOT NULL DEFAULT '',
    always TEXT NOT NULL DEFAULT '',
    turn TEXT NOT NULL DEFAULT '',
    grant_until REAL NOT NULL DEFAULT 0,
    use TEXT NOT NULL DEFAULT '',
    used_at REAL,
    problem TEXT NOT NULL DEFAULT '',
    requested_told INTEGER NOT NULL DEFAULT 0,
    answered_told INTEGER NOT NULL DEFAULT 0
);
-- The same call asked again while it waits is the same approval.
CREATE UNIQUE INDEX approvals_same_call ON approvals (session, tool, digest) WHERE state = 'pending';
CREATE INDEX approvals_by_state ON approvals (state, id);
CREATE INDEX approvals_untold ON approvals (id) WHERE requested_told = 0 OR (answered_told = 0 AND state != 'pending');
CREATE INDEX approvals_by_turn ON approvals (turn) WHERE turn != '';

-- Every asking, so that the same report is taken once.
CREATE TABLE approval_keys (
    key TEXT PRIMARY KEY,
    approval_id INTEGER NOT NULL
);
CREATE INDEX approval_keys_by_approval ON approval_keys (approval_id);
