-- Whether somebody outside may have had a hand in the words of a route that an agent made. Of older ones nobody knows.
ALTER TABLE routes ADD COLUMN tainted INTEGER NOT NULL DEFAULT 0;
UPDATE routes SET tainted = 1 WHERE made_by <> '' AND belongs_to = '';
