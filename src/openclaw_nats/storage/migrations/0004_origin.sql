-- Who said an event (events/origin.py). Of what came before this version nobody knows: it is taken for outside.
ALTER TABLE deliveries ADD COLUMN origin TEXT NOT NULL DEFAULT 'outside';
ALTER TABLE deliveries ADD COLUMN tainted INTEGER NOT NULL DEFAULT 1;
