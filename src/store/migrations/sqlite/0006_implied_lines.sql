-- What nearly every request goes through is told by its own row and by that of its reply: a line of
-- the journal for each was a fifth of all that was written. Who changes what a line is told by writes
-- the line down first. The view has them all.

-- Whether it waits, is pending, published or parked. Written when that changes alone, so that its
-- entry in an index of service points is touched once in its life.
ALTER TABLE requests ADD COLUMN live INTEGER NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN born_line INTEGER;      -- "received"; the next one is "translated"
ALTER TABLE requests ADD COLUMN arrived_bytes INTEGER;
ALTER TABLE requests ADD COLUMN arrived_from TEXT;
ALTER TABLE requests ADD COLUMN confirmed_line INTEGER;
-- Until then when it was received, so that the row does not grow: a page full of rows that grow is
-- a page to be divided.
ALTER TABLE requests ADD COLUMN confirmed_at_ms INTEGER;

ALTER TABLE replies ADD COLUMN made_line INTEGER;
ALTER TABLE replies ADD COLUMN delivered_line INTEGER;

UPDATE requests SET live = 1 WHERE state < 4;
DROP INDEX requests_live;
DROP INDEX requests_ended;
CREATE INDEX requests_live ON requests (service_point) WHERE live = 1;
CREATE INDEX requests_ended ON requests (service_point) WHERE live = 0;

CREATE VIEW timeline (request, line, at_ms, kind, detail, state) AS
SELECT request, line, at_ms, kind, detail, state FROM journal
UNION ALL
SELECT seq, born_line, received_at_ms, 'received', arrived_bytes || ' bytes from ' || arrived_from,
    NULL FROM requests WHERE born_line IS NOT NULL
UNION ALL
SELECT seq, born_line + 1, received_at_ms, 'translated',
    CASE kind WHEN 0 THEN 'metered' ELSE 'item' END || ' by mapping ' || mapping, 1
    FROM requests WHERE born_line IS NOT NULL
UNION ALL
SELECT seq, confirmed_line, confirmed_at_ms, 'confirmed', 'the broker has it', 2
    FROM requests WHERE confirmed_line IS NOT NULL
UNION ALL
SELECT request, made_line, made_at_ms, 'reply-made', outcome || ' ('
    || CASE WHEN outcome IN ('applied', 'superseded') THEN 'positive' ELSE 'negative' END
    || '), message ' || lower(substr(hex(message), 1, 8) || '-' || substr(hex(message), 9, 4) || '-'
    || substr(hex(message), 13, 4) || '-' || substr(hex(message), 17, 4) || '-'
    || substr(hex(message), 21)), NULL
    FROM replies WHERE made_line IS NOT NULL
UNION ALL
SELECT request, delivered_line, delivered_at_ms, 'replied', 'billing''s broker has it: ' || outcome,
    NULL FROM replies WHERE delivered_line IS NOT NULL;
