-- A session is a cookie and a token of the page: those that are a cookie alone end here.
DELETE FROM dashboard_sessions;
ALTER TABLE dashboard_sessions ADD COLUMN page_hash BLOB NOT NULL DEFAULT x'';
