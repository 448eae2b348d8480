-- Bytes are kept compressed: 0 as they are, 1 Zstandard with the first dictionary. What is made of a
-- message repeats most of it, so both are kept in one piece.
ALTER TABLE payloads ADD COLUMN form INTEGER NOT NULL DEFAULT 0;
ALTER TABLE payloads ADD COLUMN made_at INTEGER;    -- where in it the made part begins, if there is one
