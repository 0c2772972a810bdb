-- Whether a call that is asked for was let through before: after a kill nobody else knows.
CREATE INDEX approvals_let_through ON approvals (session, tool, digest, id) WHERE use IN ('begun', 'done', 'failed');
