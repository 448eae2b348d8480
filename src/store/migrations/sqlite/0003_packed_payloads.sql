-- Bytes are kept compressed: 0 as they are, 1 Zstandard with the first dictionary.
ALTER TABLE payloads ADD COLUMN form INTEGER NOT NULL DEFAULT 0;
