-- A route that belongs to a job or timer (`cron/<name>`, `timer/<name>@<milliseconds>`): only its ticks take it.
ALTER TABLE routes ADD COLUMN belongs_to TEXT NOT NULL DEFAULT '';
