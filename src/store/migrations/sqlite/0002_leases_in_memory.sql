-- A lease is kept in memory, so that the outbox changes only when something is put there or taken
-- out. It is one table in the order in which it is read, without an index beside it.

CREATE TABLE counters (
    name   TEXT PRIMARY KEY,
    value  INTEGER NOT NULL
) WITHOUT ROWID;
-- The last place that was ever given: none is given twice.
INSERT INTO counters SELECT 'place', coalesce(max(seq), 0) FROM sqlite_sequence
    WHERE name = 'outbox';

CREATE TABLE outbox_of_places (
    lane       INTEGER NOT NULL,                -- 0 location, 1 reply, 2 note
    place      INTEGER NOT NULL,
    subject    INTEGER NOT NULL,                -- requests.seq, replies.seq or errors.id
    number     INTEGER NOT NULL,                -- of the reply or note
    due_at_ms  INTEGER NOT NULL,
    failures   INTEGER NOT NULL,                -- of a note: how often it could not be published
    put_at_ms  INTEGER NOT NULL,
    PRIMARY KEY (lane, place)
) WITHOUT ROWID;
INSERT INTO outbox_of_places SELECT lane, place, subject, number, due_at_ms, 0, put_at_ms
    FROM outbox;
DROP TABLE outbox;
ALTER TABLE outbox_of_places RENAME TO outbox;
